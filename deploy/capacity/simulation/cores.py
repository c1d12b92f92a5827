"""The cores of one machine, shared by everything that runs on it, and the lock of one Python interpreter."""

from __future__ import annotations

import heapq
from collections.abc import Generator
from itertools import count

from simpy import Environment, Event, Resource

_SLICE_S = 0.005  # after which CPython has a thread give up the interpreter's lock if others wait for it


class Cores:
    """Processor sharing: n pieces of work on c cores each proceed at the rate min(1, c / n), as under a fair scheduler.

    A piece is the work of one thread, so that it never runs on two cores. Progress is kept in virtual time, which runs
    at that common rate: a piece ends when virtual time has advanced by its size, whatever comes and goes meanwhile.
    """

    def __init__(self, env: Environment, number: int) -> None:
        self.number = number
        self.busy_s = 0.0
        """Core-seconds worked so far."""
        self._env = env
        self._virtual = 0.0
        self._since = 0.0
        self._running: list[tuple[float, int, Event]] = []
        self._sequence = count()
        self._version = 0

    def work(self, seconds: float) -> Event:
        """Return an event that happens when this many core-seconds have been worked."""
        done = self._env.event()
        if seconds <= 0:
            return done.succeed()
        self._advance()
        heapq.heappush(self._running, (self._virtual + seconds, next(self._sequence), done))
        self._schedule()
        return done

    @property
    def _rate(self) -> float:
        return min(1.0, self.number / len(self._running)) if self._running else 0.0

    def _advance(self) -> None:
        passed = (self._env.now - self._since) * self._rate
        self._virtual += passed
        self.busy_s += passed * len(self._running)
        self._since = self._env.now

    def _schedule(self) -> None:
        self._version += 1
        if not self._running:
            return
        version = self._version
        left_s = max(0.0, self._running[0][0] - self._virtual) / self._rate
        timeout = self._env.timeout(left_s)
        timeout.callbacks.append(lambda _: self._finish(version))

    def _finish(self, version: int) -> None:
        if version != self._version:  # something has come or gone since
            return
        self._advance()
        finish = self._running[0][0]
        self._virtual = max(self._virtual, finish)
        while self._running and self._running[0][0] <= self._virtual + 1e-12:
            heapq.heappop(self._running)[2].succeed()
        self._schedule()


class Interpreter:
    """The Python of one worker process: only the thread that holds its lock runs Python code.

    Native code, such as OpenCV's, releases the lock. Threads take turns after `_SLICE_S`. The holder still has to share
    the cores with everybody else, which is why the lock costs the more, the busier the machine is.
    """

    def __init__(self, env: Environment, cores: Cores) -> None:
        self._cores = cores
        self._lock = Resource(env, 1)

    def work(self, locked_s: float, native_s: float) -> Generator[Event, object, None]:
        """Do so many core-seconds with the lock, and so many without."""
        while locked_s > 1e-9:
            part_s = min(locked_s, _SLICE_S)
            with self._lock.request() as turn:
                yield turn
                yield self._cores.work(part_s)
            locked_s -= part_s
        if native_s > 0:
            yield self._cores.work(native_s)
