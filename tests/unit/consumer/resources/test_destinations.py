"""Who may write to destinations that requests name, and how much of the worker's writes they hold."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import count

import pytest

from consumer.delivery.places import place_of
from consumer.resources.destinations import AWAY_AFTER, STORE_SLOTS, Destinations
from consumer.resources.untried import Untried
from cutstream.clock import ManualClock
from cutstream.errors import Cancelled, DestinationUnavailable, RefusedDestination
from tests.support.group import wait_until

A, B = "s3://a/out", "s3://b/out"


class Site:
    def __init__(self, window: int = 32) -> None:
        self.clock = ManualClock()
        self.untried: list[str] = []
        self.destinations = Destinations(place_of, window, self.clock, self.untried.append)

    def writing(self, address: str | None, give_up=lambda: None):
        return self.destinations.writing(address, (), give_up)

    def write(self, address: str, error: Exception | None = None) -> None:
        with suppress(DestinationUnavailable, RefusedDestination), self.writing(address):
            if error:
                raise error

    def lose(self, address: str, is_ours: bool = False) -> None:
        for _ in range(AWAY_AFTER):
            self.write(address, DestinationUnavailable("timed out", is_ours))

    def refusal(self, address: str, again: bool = False) -> Untried:
        with pytest.raises(Untried) as raised:
            self.destinations.expect(address, again)
        return raised.value


@pytest.fixture
def site() -> Site:
    return Site()


def giving_up() -> Callable[[], None]:
    """Return what ends a wait, but not the attempt to do without one."""
    calls = count()

    def give_up() -> None:
        if next(calls):
            raise Cancelled

    return give_up


def held(site: Site, stack: ExitStack, address: str) -> int:
    """Take all writes to this address that may be under way at once, and return their number."""

    for number in range(STORE_SLOTS + 1):
        try:
            stack.enter_context(site.writing(address, giving_up()))
        except Cancelled:
            return number
    raise AssertionError("no limit")


def test_one_destination_holds_half_of_the_writes_and_all_of_them_two_thirds(site: Site) -> None:
    with ExitStack() as stack:
        assert held(site, stack, A) == STORE_SLOTS // 2
        assert held(site, stack, B) == STORE_SLOTS * 2 // 3 - STORE_SLOTS // 2
        with ExitStack() as defaults:
            for _ in range(STORE_SLOTS):
                defaults.enter_context(site.writing(None))
    with ExitStack() as stack:
        assert held(site, stack, A) == STORE_SLOTS // 2, "not all were given back"


@pytest.mark.parametrize(("window", "one", "more"), [(1, 1, 0), (8, 3, 1), (16, 6, 2), (1024, 12, 4)])
def test_they_hold_no_more_than_half_of_a_small_window(window: int, one: int, more: int) -> None:
    site = Site(window)
    with ExitStack() as stack:
        assert held(site, stack, A) == one
        assert held(site, stack, B) == more


def test_who_waits_too_long_goes_on_untried(site: Site) -> None:
    with ExitStack() as stack:
        held(site, stack, A)
        refused: list[Untried] = []
        waiting = threading.Event()

        def write() -> None:
            with pytest.raises(Untried, match="too many outputs") as raised, site.writing(A, waiting.set):
                pass
            refused.append(raised.value)

        thread = threading.Thread(target=write)
        thread.start()
        assert waiting.wait(30)
        site.clock.sleep(10.1)
        wait_until(lambda: bool(refused), "it waits on")
        thread.join()
    assert site.untried == ["crowded"]
    assert not refused[0].tried_by_another


def test_a_destination_that_fails_in_a_row_is_left_alone_and_the_others_are_not(site: Site) -> None:
    site.lose(A)
    refused = site.refusal(A)
    assert (refused.code, refused.tried_by_another) == ("destination_unavailable", False)
    with pytest.raises(Untried):
        site.destinations.refuse_away(A, again=False)
    for other in (B, None):
        site.destinations.expect(other, False)
        site.destinations.refuse_away(other, again=False)
    assert site.untried == ["silent", "silent"]


@pytest.mark.parametrize("answer", [None, RefusedDestination("no access")])
def test_a_success_or_a_refusal_between_them_breaks_the_row(site: Site, answer: Exception | None) -> None:
    for _ in range(5):
        for _ in range(AWAY_AFTER - 1):
            site.write(A, DestinationUnavailable("timed out"))
        site.write(A, answer)
    site.destinations.expect(A, False)


def test_one_at_a_time_tries_it_from_the_retry_topic_and_the_others_count_that(site: Site) -> None:
    site.lose(A)
    site.destinations.expect(A, True)
    site.destinations.refuse_away(A, again=True)  # the probe goes on
    assert site.refusal(A, again=True).tried_by_another
    assert not site.refusal(A).tried_by_another
    site.clock.sleep(16)
    site.destinations.expect(A, True)


def test_a_destination_that_is_back_is_open_to_all(site: Site) -> None:
    site.lose(A)
    site.destinations.expect(A, True)
    site.write(A)
    site.destinations.expect(A, False)
    site.destinations.refuse_away(A, again=False)


def test_those_that_are_not_tried_know_whether_the_place_is_ours(site: Site) -> None:
    site.lose(A, is_ours=True)
    site.lose(B)
    assert site.refusal(A).is_ours
    assert not site.refusal(B).is_ours
