"""How long an urgent request would wait now: from the lag of the workers' group and the pace of the results."""

from __future__ import annotations

import math
from collections import deque
from threading import Lock

from cutstream.clock import Clock

_WINDOW_S = 10.0
_STEP_S = 0.5
_UNHURRIED = 16  # so few waiting requests are no sign of anything: workers have that many in hand


class Load:
    """The measured load of the stream. Thread-safe. Times are in seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._counts: deque[tuple[float, int]] = deque()  # results of each step, by its beginning
        self._waiting = 0
        self._others = 0
        self._since: float | None = None  # when requests began to wait without any result

    def note_results(self, count: int) -> None:
        """Count results of any sender."""
        now = self._clock.monotonic()
        with self._lock:
            if self._counts and now - self._counts[-1][0] < _STEP_S:
                began, known = self._counts[-1]
                self._counts[-1] = (began, known + count)
            else:
                self._counts.append((now, count))
            self._since = None

    def note_lag(self, urgent: int, others: int) -> None:
        """Note how many requests wait or are in work."""
        now = self._clock.monotonic()
        with self._lock:
            self._waiting, self._others = urgent, others
            if not urgent:
                self._since = None
            elif self._since is None:
                self._since = now

    @property
    def lag(self) -> int:
        """The requests of all topics that wait or are in work, as last measured."""
        return self._waiting + self._others

    def rate(self) -> float:
        """Return the photos finished per second, of late. 0 while nothing is."""
        now = self._clock.monotonic()
        with self._lock:
            finished, span_s = self._pace(now)
            return finished / span_s

    def wait_s(self) -> float:
        """Return the time that an urgent request would wait before its turn. Infinite if nothing moves at all."""
        now = self._clock.monotonic()
        with self._lock:
            finished, span_s = self._pace(now)
            stuck_s = now - self._since if self._since is not None else 0.0
            if self._waiting <= _UNHURRIED and stuck_s < _WINDOW_S:
                return 0.0
            if not finished:
                return math.inf if stuck_s >= _WINDOW_S else 0.0
            return self._waiting * span_s / finished

    def _pace(self, now: float) -> tuple[int, float]:
        """Return the results of the last seconds, and the time that they took."""
        while self._counts and now - self._counts[0][0] > _WINDOW_S:
            self._counts.popleft()
        began = self._counts[0][0] if self._counts else now
        return sum(count for _, count in self._counts), max(_STEP_S, now - began)
