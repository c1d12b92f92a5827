"""A semaphore that serves the oldest request first."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class PrioritySemaphore:
    """A semaphore with `size` slots. The waiting caller with the lowest `order` is served next. Thread-safe.

    Callers with an equal `order` are served in the order in which they asked. A plain semaphore gives a free slot to
    whichever thread happens to run next, so that one request can be overtaken by dozens: it finishes late, and the
    results behind it in its partition wait with it.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, threading.Lock]] = []
        self._sequence = count()

    @contextmanager
    def acquire(self, order: float = 0.0) -> Iterator[None]:
        """Hold one slot inside the block."""
        self._acquire(order)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, order: float) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            heapq.heappush(self._waiting, (order, next(self._sequence), turn))
        turn.acquire()  # blocks until `_release` hands a slot over

    def _release(self) -> None:
        with self._lock:
            if self._waiting:
                heapq.heappop(self._waiting)[2].release()
            else:
                self._free += 1
