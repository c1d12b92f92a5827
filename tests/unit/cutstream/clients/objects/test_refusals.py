"""An object that a working place refuses is told from a place that takes nothing, also while rights come and go."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cutstream.clients.objects.refusals import PROBE_NAME, Refusals
from cutstream.clock import ManualClock
from cutstream.contract.ids import folder_of
from cutstream.errors import StoreUnavailable


class Place:
    """A default destination that takes what `takes` allows at a time, with a photo that waits for it."""

    def __init__(self, takes: Callable[[str, float], bool]) -> None:
        self.clock = ManualClock()
        self.probes = 0
        self.refusals = Refusals(self.probe, self.clock.monotonic)
        self._takes = takes
        self._random = random.Random(7)

    def takes(self, uri: str) -> bool:
        return self._takes(uri, self.clock.now - 1000)

    def probe(self) -> None:
        self.probes += 1
        if not self.takes("probe"):
            raise PermissionError("403")

    def write(self, uri: str) -> bool:
        """Write an object. Return whether it is proven that it is refused itself."""
        if self.takes(uri):
            self.refusals.note_written(uri, self.clock.now)
            return False
        return self.refusals.is_of_this_object(uri)

    def wait(self, uri: str, for_s: float) -> str:
        """Try an object again and again, as a runner does. Return how that ends: `written`, `refused` or `waits`."""
        end_s, attempt = self.clock.now + for_s, 0
        while self.clock.now < end_s:
            if self.takes(uri):
                return "written"
            if self.write(uri):
                return "refused"
            self.clock.sleep(min(5.0, 0.1 * 2**attempt) * self._random.uniform(0.5, 1.0))
            attempt += 1
        return "waits"


def test_a_name_that_is_taken_is_refused_within_seconds_though_nobody_else_writes() -> None:
    place = Place(lambda uri, _: uri != "taken")
    assert place.wait("taken", 30) == "refused"
    assert place.clock.now - 1000 < 8
    assert place.probes <= 4


def test_other_writes_prove_it_sooner() -> None:
    place = Place(lambda uri, _: uri != "taken")
    for _ in range(2):
        assert not place.write("taken")
        place.clock.sleep(0.1)
        assert not place.write("other")
        place.clock.sleep(0.1)
    assert place.write("taken")
    assert place.probes == 1


def test_a_place_that_takes_nothing_is_waited_for_and_asked_once_a_second_at_most() -> None:
    place = Place(lambda uri, now_s: now_s > 3600)
    for _ in range(600):
        for photo in range(40):
            assert not place.write(f"photo-{photo}")
        place.clock.sleep(0.5)
    assert place.probes <= 301
    assert place.wait("photo-0", 4000) == "written"


def test_writes_from_before_an_outage_prove_nothing() -> None:
    place = Place(lambda uri, now_s: now_s < 1)
    for _ in range(50):
        place.write("other")
        place.clock.sleep(0.05)
    assert place.wait("photo", 600) == "waits"


@pytest.mark.parametrize(("away_s", "there_s"), [(30, 6), (10, 1), (3, 0.3), (60, 60)])
def test_rights_that_come_and_go_cost_no_photo(away_s: float, there_s: float) -> None:
    """Others write all the time, so the place is known to work whenever it does."""
    place = Place(lambda uri, now_s: now_s % (away_s + there_s) > away_s)
    for step in range(20_000):
        assert not place.write(f"photo-{step % 100}")
        place.clock.sleep(0.05)


def test_a_store_that_is_busy_when_it_is_asked_proves_nothing() -> None:
    place = Place(lambda uri, _: False)

    def probe() -> None:
        raise StoreUnavailable("503")

    place.refusals = Refusals(probe, place.clock.monotonic)
    assert place.wait("photo", 600) == "waits"


def test_what_is_remembered_is_bounded() -> None:
    place = Place(lambda uri, _: False)
    place._takes = lambda uri, _: uri == "probe"
    for number in range(10_000):
        place.write(f"photo-{number}")
    assert len(place.refusals._refused) <= 4096


@pytest.mark.parametrize("id", [PROBE_NAME, f"/{PROBE_NAME}", "cutstream probe", "cutstream", "~probe"])
def test_no_id_becomes_the_name_of_the_probe(id: str) -> None:
    assert folder_of(id) != PROBE_NAME
