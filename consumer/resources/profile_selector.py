"""Profile `auto`: the most precise profile that there is time for, by what each takes on this machine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from consumer.jobs import Job
from cutstream.clients.triton import Triton
from cutstream.clock import Clock
from cutstream.contract.messages import Choice
from cutstream.metrics import Metrics
from cutstream.settings import ModelSettings

WEIGHT = 0.2  # of the newest measurement in an average
MARGIN = 1.5  # a deadline must hold this many times the expected time
FRESH_S = 60.0


class Average:
    """Of what was seen lately; the least ever seen once that is long ago.

    Without the latter a profile that was slow when the machine was busy would never be chosen, and so never be
    measured, again.
    """

    def __init__(self) -> None:
        self._mean = self._least = self._seen = 0.0

    def add(self, value: float, now: float) -> None:
        self._mean = value + (1 - WEIGHT) * (self._mean - value) if self._mean else value
        self._least = min(self._least, value) if self._least else value
        self._seen = now

    def at(self, now: float) -> float:
        return self._mean if now - self._seen <= FRESH_S else self._least


class LatencyEstimator:
    """Seconds that Triton takes on this machine, by profile. Thread-safe.

    `call` is one request's whole time; `photo` is what one more photo adds when requests run side by side.
    """

    def __init__(self, triton: Triton, clock: Clock) -> None:
        self._triton = triton
        self._clock = clock
        self._lock = threading.Lock()
        self._probing = threading.Lock()
        self._under_way = 0
        self._call: dict[str, Average] = {}
        self._photo: dict[str, Average] = {}

    @contextmanager
    def measured(self, profile: str, photos: int) -> Iterator[None]:
        """Around one request of so many photos; one that fails says nothing about time."""
        with self._lock:
            self._under_way += 1
        begun = self._clock.monotonic()
        try:
            yield
            now = self._clock.monotonic()
            with self._lock:
                self._call.setdefault(profile, Average()).add(now - begun, now)
                self._photo.setdefault(profile, Average()).add((now - begun) / photos / self._under_way, now)
        finally:
            with self._lock:
                self._under_way -= 1

    def of(self, profile: str) -> tuple[float, float]:
        """(call, photo); the first time, Triton is asked with a grey picture. Raises as Triton's client does."""
        with self._probing:
            if profile not in self._call:
                self._probe(profile)
        with self._lock:
            now = self._clock.monotonic()
            return self._call[profile].at(now), self._photo[profile].at(now)

    def _probe(self, profile: str) -> None:
        ensemble = self._triton.ensemble(profile)
        grey = np.full((1, ensemble.height, ensemble.width, 3), 128, np.uint8)
        self._triton.infer(ensemble, grey)  # the first after loading is slow
        with self.measured(profile, 1):
            self._triton.infer(ensemble, grey)


@dataclass(frozen=True, slots=True)
class Estimate:
    """`needed_s` for this photo from now until it is stored; `backlog_s` until all that wait would be done so."""

    profile: str
    needed_s: float
    backlog_s: float


class ProfileSelector:
    """Decides for each job of profile `auto`, when its photo is about to be segmented. Thread-safe."""

    def __init__(self, settings: ModelSettings, pace: LatencyEstimator, metrics: Metrics, clock: Clock) -> None:
        self._waiting = 0
        self._settings = settings
        self._pace = pace
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._segmenting: Counter[str] = Counter()
        self._rest = Average()

    def choose(self, job: Job) -> None:
        """Sets `profile` and `choice` of a job of profile `auto`, anew when it is tried again."""
        if not job.auto:
            return
        left_s = job.request.deadline.timestamp() - self._clock.wall() if job.request.deadline else None
        estimates = [self._estimate(profile) for profile in self._settings.auto_profiles]
        job.profile, job.choice = decide(estimates, job.request.hint, left_s, self._settings.auto_backlog_s)
        self._metrics.auto.labels(job.profile, job.choice.reason).inc()

    @contextmanager
    def segmenting(self, job: Job) -> Iterator[None]:
        """Around the wait for the matte: the photos in it are ahead of the next one."""
        with self._lock:
            self._segmenting[job.profile] += 1
        try:
            yield
            job.segmented_s = self._clock.monotonic()
        finally:
            with self._lock:
                self._segmenting[job.profile] -= 1

    def wait(self, requests: int) -> None:
        """How many requests in this worker's partitions are not begun yet."""
        self._waiting = requests

    def stored(self, job: Job) -> None:
        """What comes after segment takes as long for every profile."""
        if job.segmented_s is not None:
            now = self._clock.monotonic()
            with self._lock:
                self._rest.add(now - job.segmented_s, now)

    def _estimate(self, profile: str) -> Estimate:
        call_s, photo_s = self._pace.of(profile)
        with self._lock:
            ahead = {other: count for other, count in self._segmenting.items() if count}
            rest_s = self._rest.at(self._clock.monotonic())
        ahead_s = sum(count * self._pace.of(other)[1] for other, count in ahead.items())
        return Estimate(profile, ahead_s + call_s + rest_s, ahead_s + self._waiting * photo_s)


def decide(
    estimates: list[Estimate], hint: str | None, left_s: float | None, most_backlog_s: float
) -> tuple[str, Choice]:
    """The first of `estimates`, most precise first, that meets the deadline and, unless `quality` is asked for, lets
    the backlog be worked off in time; failing all, the last, which is the fastest.
    """
    *_, fastest = estimates
    if hint == "speed":
        return fastest.profile, Choice(reason="hint", detail="`speed` asks for the fastest profile")
    refusal: Choice | None = None
    for one in estimates:
        if left_s is not None and one.needed_s * MARGIN > left_s:
            detail = f"{one.profile} needs {one.needed_s:.2f} s, {left_s:.2f} s are left"
            refusal = Choice(reason="deadline", detail=detail)
        elif hint is None and one.backlog_s > most_backlog_s:
            detail = f"with {one.profile} the backlog takes {one.backlog_s:.0f} s"
            refusal = Choice(reason="backlog", detail=detail)
        elif refusal is not None:
            return one.profile, refusal
        elif hint == "quality":
            return one.profile, Choice(reason="hint", detail=f"`quality`, and {one.profile} is in time")
        else:
            return one.profile, Choice(reason="time", detail=f"{one.profile} needs {one.needed_s:.2f} s")
    assert refusal is not None
    return fastest.profile, refusal
