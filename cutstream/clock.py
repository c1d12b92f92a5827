"""Injected clocks, so that tests never wait and durations never jump with the wall clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two clocks: `monotonic` for durations and deadlines in this process, `wall` for times that travel."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes backwards."""

    def wall(self) -> float:
        """Seconds since the Unix epoch, UTC."""

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class ManualClock:
    """For tests: time moves only when told to; `sleep` moves it."""

    now: float = 1_000.0
    epoch: float = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.epoch + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
