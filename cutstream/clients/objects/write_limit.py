"""How long a write to a bucket may take before it counts as failed.

A store that accepts connections and never answers must not hold a worker for a minute, and over a slow line a large
output must not be cut off for ever. So the limit is short at first, and grows while writes reach it.
"""

from __future__ import annotations

import threading

LIMITS_S = (5.0, 10.0, 20.0, 40.0, 80.0)


class WriteLimit:
    """The level of LIMITS_S that the next write uses. Thread-safe."""

    def __init__(self) -> None:
        self._level = 0
        self._lock = threading.Lock()

    @property
    def level(self) -> int:
        return self._level

    def record(self, level: int, seconds: float, done: bool) -> None:
        """Take note of a write that was made at `level` and took this long, successfully or not.

        A write that failed at the limit moves to the next level, once for all writes that are under way at the time. A
        write that took less than a quarter of the limit moves back.
        """
        with self._lock:
            if level != self._level:
                return
            if done and seconds < LIMITS_S[level] / 4:
                self._level = max(0, level - 1)
            elif not done and seconds > LIMITS_S[level] * 0.9:
                self._level = min(len(LIMITS_S) - 1, level + 1)
