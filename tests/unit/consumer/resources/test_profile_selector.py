"""Profile `auto` selects a profile by measured latencies and gives its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone

import numpy as np
import pytest

from consumer.resources.latency import FRESH_S, LatencyEstimator, MovingAverage
from consumer.resources.profile_selector import SAFETY_FACTOR, Estimate, ProfileSelector, Selection, decide
from cutstream.clients.triton import Ensemble
from cutstream.clock import ManualClock
from cutstream.errors import TritonUnavailable
from cutstream.metrics import Metrics
from cutstream.profiles import AUTO
from cutstream.settings import ModelSettings

PRECISE, FAST = Estimate("precise", needed_s=2.0, backlog_s=40.0), Estimate("fast", needed_s=0.2, backlog_s=4.0)


@pytest.mark.parametrize(
    ("hint", "left_s", "max_backlog_s", "profile", "reason"),
    [
        (None, None, 60, "precise", "time"),
        (None, 2 * SAFETY_FACTOR + 0.1, 60, "precise", "time"),
        (None, 2 * SAFETY_FACTOR - 0.1, 60, "fast", "deadline"),
        (None, None, 30, "fast", "backlog"),
        (None, 10, 1, "fast", "backlog"),
        (None, 0.1, 60, "fast", "deadline"),
        ("quality", None, 30, "precise", "hint"),
        ("quality", 2, 30, "fast", "deadline"),
        ("speed", None, 60, "fast", "hint"),
        ("speed", 100, 60, "fast", "hint"),
    ],
)
def test_the_most_precise_profile_in_time_is_selected(hint, left_s, max_backlog_s, profile, reason) -> None:
    selected, choice = decide([PRECISE, FAST], hint, left_s, max_backlog_s)
    assert (selected, choice.reason) == (profile, reason)


def test_the_reason_names_the_profile_that_takes_too_long() -> None:
    middle = Estimate("general", needed_s=0.5, backlog_s=10.0)
    assert decide([PRECISE, middle, FAST], None, None, 20)[0] == "general"
    _, choice = decide([PRECISE, middle, FAST], None, 1.0, 60)
    assert choice.detail == "precise needs 2.00 s, 1.00 s are left"
    assert decide([PRECISE], None, 1.0, 60)[0] == "precise"


def test_an_average_forgets_slow_measurements_after_a_minute() -> None:
    average = MovingAverage()
    average.add(1.0, now_s=0.0)
    for now in range(1, 30):
        average.add(5.0, now)
    assert 4.9 < average.at(30.0) < 5.0
    assert average.at(30.0 + FRESH_S) == 1.0


@dataclass
class Server:
    """A Triton whose requests take `seconds` of its profile, and three times as long the first time."""

    clock: ManualClock
    seconds: dict[str, float]
    calls: list[tuple[str, int]] = field(default_factory=list)
    away: bool = False

    def ensemble(self, profile: str) -> Ensemble:
        return Ensemble(f"cutout_{profile}", "1", 32, 16, 8)

    def infer(self, ensemble: Ensemble, images: np.ndarray) -> np.ndarray:
        if self.away:
            raise TritonUnavailable("away")
        profile = ensemble.name.removeprefix("cutout_")
        known = any(name == profile for name, _ in self.calls)
        self.clock.sleep(self.seconds[profile] * (1 if known else 3))
        self.calls.append((profile, len(images)))
        return np.zeros(images.shape[:3], np.uint8)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Server:
    return Server(clock, {"precise": 2.0, "fast": 0.25})


@pytest.fixture
def latency(server: Server, clock: ManualClock) -> LatencyEstimator:
    return LatencyEstimator(server, clock)


@pytest.fixture
def selector(latency: LatencyEstimator, clock: ManualClock) -> ProfileSelector:
    settings = ModelSettings(profiles=("fast", "precise"), default_profile="auto", auto_backlog_s=30)
    return ProfileSelector(settings, latency, Metrics(), clock)


def select(selector: ProfileSelector, clock: ManualClock, left_s: float | None = None, hint: str | None = None):
    """Select a profile for `auto`, `left_s` before the deadline."""
    deadline = datetime.fromtimestamp(clock.wall() + left_s, timezone.utc) if left_s is not None else None
    return selector.select(AUTO, hint, deadline)


def test_a_profile_is_measured_once_before_its_first_photo(
    latency: LatencyEstimator, server: Server, clock: ManualClock
) -> None:
    assert latency.estimate("precise") == (2.0, 2.0)
    assert latency.estimate("precise") == (2.0, 2.0)
    assert server.calls == [("precise", 1)] * 2
    with latency.measure("fast", images=4):
        clock.sleep(1.0)
    assert latency.estimate("fast") == (1.0, 0.25)
    assert len(server.calls) == 2


def test_photos_of_concurrent_requests_take_less_time_each(latency: LatencyEstimator, clock: ManualClock) -> None:
    with latency.measure("fast", images=2), latency.measure("fast", images=2):
        clock.sleep(1.0)
    assert latency.estimate("fast")[0] == 1.0
    assert latency.estimate("fast")[1] == pytest.approx(
        0.25 + 0.2 * (0.5 - 0.25)
    )  # two requests in flight, then one alone


def test_a_failed_request_is_not_a_measurement(latency: LatencyEstimator, server: Server, clock: ManualClock) -> None:
    server.away = True
    with pytest.raises(TritonUnavailable), latency.measure("fast", images=1):
        server.infer(server.ensemble("fast"), np.zeros((1, 16, 32, 3), np.uint8))
    with pytest.raises(TritonUnavailable):
        latency.estimate("fast")
    server.away = False
    assert latency.estimate("fast") == (0.25, 0.25)


def test_the_deadline_includes_the_photos_ahead_and_the_stages_after(
    selector: ProfileSelector, clock: ManualClock
) -> None:
    first = select(selector, clock)
    assert (first.profile, first.choice.reason) == ("precise", "time")
    with selector.segmenting(first.profile):
        behind = select(selector, clock, left_s=4.0)
        assert (behind.profile, behind.choice.detail) == ("fast", "precise needs 4.00 s, 4.00 s are left")
    selector.record_tail(1.5)
    later = select(selector, clock, left_s=5.0)
    assert (later.profile, later.choice.detail) == ("fast", "precise needs 3.50 s, 5.00 s are left")
    unhurried = select(selector, clock, left_s=3.5 * SAFETY_FACTOR + 0.01)
    assert unhurried.profile == "precise"


def test_a_backlog_is_worked_off_with_the_fast_profile(selector: ProfileSelector, clock: ManualClock) -> None:
    selector.set_backlog(15)
    short = select(selector, clock)
    selector.set_backlog(16)
    long = select(selector, clock)
    quality = select(selector, clock, hint="quality")
    assert [selection.profile for selection in (short, long, quality)] == ["precise", "fast", "precise"]
    assert long.choice.detail == "with precise the backlog takes 32 s"
    sample = selector._metrics.registry.get_sample_value
    assert sample("cutstream_auto_choices_total", {"profile": "fast", "reason": "backlog"}) == 1


def test_a_retry_selects_again_and_a_named_profile_stays(selector: ProfileSelector, clock: ManualClock) -> None:
    deadline = datetime.fromtimestamp(clock.wall() + 10, timezone.utc)
    assert selector.select(AUTO, None, deadline).profile == "precise"
    clock.sleep(7)
    again = selector.select(AUTO, None, deadline)
    assert (again.profile, again.choice.reason) == ("fast", "deadline")
    assert selector.select("precise", None, None) == Selection("precise", None)


def test_a_failed_segmentation_does_not_count_as_ahead(selector: ProfileSelector, clock: ManualClock) -> None:
    with pytest.raises(TritonUnavailable), selector.segmenting("precise"):
        raise TritonUnavailable("away")
    clock.sleep(100)
    first = select(selector, clock, left_s=2 * SAFETY_FACTOR + 0.1)
    assert first.profile == "precise"
