"""How long an urgent request would wait now: from the lag of the workers' group and the pace of the results."""

from __future__ import annotations

import math
from collections import deque
from threading import Lock

from cutstream.clock import Clock

_WINDOW_S = 10.0
_STEP_S = 0.5
_EVIDENCE_S = 3.0  # so long requests must have waited for the pace of the results to be that of the workers
_MANY = 8  # so many results in one step show a pace as well
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
        self._behind: float | None = None  # when more requests began to wait than workers have in hand

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
            if urgent <= _UNHURRIED:
                self._behind = None
            elif self._behind is None:
                self._behind = now
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
        """Return the time that an urgent request would wait before its turn. Infinite if nothing moves at all.

        0 while it is not known: workers that have had nothing to do for a while show no pace until requests wait.
        """
        now = self._clock.monotonic()
        with self._lock:
            finished, span_s = self._pace(now)
            stuck_s = now - self._since if self._since is not None else 0.0
            if self._waiting <= _UNHURRIED and stuck_s < _WINDOW_S:
                return 0.0
            if not finished:
                return math.inf if stuck_s >= _WINDOW_S else 0.0
            pace = self._pace_of_workers(now, finished / span_s)
            return self._waiting / pace if pace else 0.0

    def _pace_of_workers(self, now: float, otherwise: float) -> float:
        """Return the results a second since requests wait. 0 if that is not known yet."""
        behind_s = now - self._behind if self._behind is not None else 0.0
        if behind_s < _EVIDENCE_S:
            most = max(count for _, count in self._counts)
            return most / _STEP_S if most >= _MANY else 0.0
        span_s = min(_WINDOW_S, behind_s)
        finished = sum(count for began, count in self._counts if began >= now - span_s)
        return finished / span_s or otherwise

    def _pace(self, now: float) -> tuple[int, float]:
        """Return the results of the last seconds, and the time that they took."""
        while self._counts and now - self._counts[0][0] > _WINDOW_S:
            self._counts.popleft()
        began = self._counts[0][0] if self._counts else now
        return sum(count for _, count in self._counts), max(_STEP_S, now - began)
