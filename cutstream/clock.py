"""Clocks that are passed as arguments: tests never wait, and durations never jump with the wall clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock for durations within this process, and a wall clock for times that other processes read."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start. The value never goes backwards."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait for this many seconds."""


class SystemClock:
    """The clocks of the operating system."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class ManualClock:
    """A clock for tests. Its time advances only by `sleep` and by setting `now`."""

    now: float = 1_000.0
    epoch: float = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.epoch + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
