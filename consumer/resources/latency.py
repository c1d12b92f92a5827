"""Estimates of the time that Triton takes for each profile on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from cutstream.clients.triton import Triton
from cutstream.clock import Clock

WEIGHT = 0.2  # of the newest measurement in a moving average
FRESH_S = 60.0


class Latency(NamedTuple):
    """`call_s` is the time of one request; `image_s` is what one more image adds when requests run side by side."""

    call_s: float
    image_s: float


class MovingAverage:
    """The average of recent measurements, or the least of all if the last one is over a minute old.

    Without that rule a profile that was measured while the machine was busy would never be chosen again, and so never
    be measured again.
    """

    def __init__(self) -> None:
        self._mean = self._least = self._last_s = 0.0

    def add(self, value: float, now_s: float) -> None:
        self._mean = value + (1 - WEIGHT) * (self._mean - value) if self._mean else value
        self._least = min(self._least, value) if self._least else value
        self._last_s = now_s

    def at(self, now_s: float) -> float:
        return self._mean if now_s - self._last_s <= FRESH_S else self._least


class LatencyEstimator:
    """Estimates each profile's latency from the requests that are made anyway. Thread-safe."""

    def __init__(self, triton: Triton, clock: Clock) -> None:
        self._triton = triton
        self._clock = clock
        self._lock = threading.Lock()
        self._probing = threading.Lock()
        self._in_flight = 0
        self._call: dict[str, MovingAverage] = {}
        self._image: dict[str, MovingAverage] = {}

    @contextmanager
    def measure(self, profile: str, images: int) -> Iterator[None]:
        """Time one request with this many images. A request that fails says nothing about time."""
        with self._lock:
            self._in_flight += 1
        started_s = self._clock.monotonic()
        try:
            yield
            now = self._clock.monotonic()
            with self._lock:
                self._call.setdefault(profile, MovingAverage()).add(now - started_s, now)
                per_image_s = (now - started_s) / images / self._in_flight
                self._image.setdefault(profile, MovingAverage()).add(per_image_s, now)
        finally:
            with self._lock:
                self._in_flight -= 1

    def estimate(self, profile: str) -> Latency:
        """Return the profile's latency; the first time, measure it with a grey image.

        Raises the errors of Triton's client.
        """
        with self._probing:
            if profile not in self._call:
                self._probe(profile)
        with self._lock:
            now = self._clock.monotonic()
            return Latency(self._call[profile].at(now), self._image[profile].at(now))

    def _probe(self, profile: str) -> None:
        ensemble = self._triton.ensemble(profile)
        grey = np.full((1, ensemble.height, ensemble.width, 3), 128, np.uint8)
        self._triton.infer(ensemble, grey)  # the first request after loading is slow
        with self.measure(profile, 1):
            self._triton.infer(ensemble, grey)
