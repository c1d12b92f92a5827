"""Profile `auto`: choose the most precise profile that there is time for on this machine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from consumer.resources.latency import LatencyEstimator, MovingAverage
from cutstream.clock import Clock
from cutstream.contract.messages import Choice
from cutstream.metrics import Metrics
from cutstream.profiles import AUTO
from cutstream.settings import ModelSettings

SAFETY_FACTOR = 1.5  # the time left before a deadline must be at least this many times the expected time


class Selection(NamedTuple):
    """The profile that finds the subject, and for profile `auto` why it was chosen."""

    profile: str
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """`needed_s` is the time from now until this image is stored, `backlog_s` until the whole backlog is worked off."""

    profile: str
    needed_s: float
    backlog_s: float


class ProfileSelector:
    """Selects a profile when an image is about to be segmented. Thread-safe."""

    def __init__(self, settings: ModelSettings, latency: LatencyEstimator, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._latency = latency
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._backlog = 0
        self._in_segmentation: Counter[str] = Counter()
        self._after_segmentation = MovingAverage()

    def select(self, profile: str, hint: str | None, deadline: datetime | None) -> Selection:
        """Return the requested profile, or for `auto` the one that there is time for now.

        Raises the errors of Triton's client if a profile must be measured first.
        """
        if profile != AUTO:
            return Selection(profile)
        left_s = deadline.timestamp() - self._clock.wall() if deadline else None
        estimates = [self._estimate(candidate) for candidate in self._settings.auto_profiles]
        selection = decide(estimates, hint, left_s, self._settings.auto_backlog_s)
        self._metrics.auto.labels(selection.profile, selection.choice.reason if selection.choice else "").inc()
        return selection

    @contextmanager
    def segmenting(self, profile: str) -> Iterator[None]:
        """Count an image as waiting for its matte: the next image is behind it."""
        with self._lock:
            self._in_segmentation[profile] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_segmentation[profile] -= 1

    def set_backlog(self, requests: int) -> None:
        """Set how many requests in this worker's partitions have not been begun."""
        self._backlog = requests

    def record_tail(self, seconds: float) -> None:
        """Record how long an image took after segmentation, which is the same for every profile."""
        with self._lock:
            self._after_segmentation.add(seconds, self._clock.monotonic())

    def _estimate(self, profile: str) -> Estimate:
        latency = self._latency.estimate(profile)
        with self._lock:
            ahead = {other: count for other, count in self._in_segmentation.items() if count}
            tail_s = self._after_segmentation.at(self._clock.monotonic())
        ahead_s = sum(count * self._latency.estimate(other).image_s for other, count in ahead.items())
        return Estimate(profile, ahead_s + latency.call_s + tail_s, ahead_s + self._backlog * latency.image_s)


def decide(estimates: Sequence[Estimate], hint: str | None, left_s: float | None, max_backlog_s: float) -> Selection:
    """Select the first of `estimates`, most precise first, that meets the deadline and lets the backlog be worked off.

    With the hint `quality` the backlog does not count; with `speed` the last, fastest profile is selected at once. If
    no profile is in time, the fastest is selected too.
    """
    *_, fastest = estimates
    if hint == "speed":
        return Selection(fastest.profile, Choice(reason="hint", detail="`speed` asks for the fastest profile"))
    refusal: Choice | None = None
    for estimate in estimates:
        profile = estimate.profile
        if left_s is not None and estimate.needed_s * SAFETY_FACTOR > left_s:
            detail = f"{profile} needs {estimate.needed_s:.2f} s, {left_s:.2f} s are left"
            refusal = Choice(reason="deadline", detail=detail)
        elif hint is None and estimate.backlog_s > max_backlog_s:
            detail = f"with {profile} the backlog takes {estimate.backlog_s:.0f} s"
            refusal = Choice(reason="backlog", detail=detail)
        elif refusal is not None:
            return Selection(profile, refusal)
        elif hint == "quality":
            return Selection(profile, Choice(reason="hint", detail=f"`quality`, and {profile} is in time"))
        else:
            return Selection(profile, Choice(reason="time", detail=f"{profile} needs {estimate.needed_s:.2f} s"))
    assert refusal is not None  # an estimate that returns nothing sets it
    return Selection(fastest.profile, refusal)
