"""Places for work of one kind, given to the oldest photo that waits."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class Places:
    """`size` places. Of those who wait the one of lowest `order` is next, and of equal ones the first to ask.

    A plain semaphore gives a free place to whoever comes by, so that a photo can be overtaken by dozens: it is finished
    late, and the results behind it in its partition wait with it. Thread-safe.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, threading.Lock]] = []
        self._asked = count()

    @contextmanager
    def taken(self, order: float = 0.0) -> Iterator[None]:
        self._take(order)
        try:
            yield
        finally:
            self._give()

    def _take(self, order: float) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            heapq.heappush(self._waiting, (order, next(self._asked), turn))
        turn.acquire()  # until `_give` hands a place over

    def _give(self) -> None:
        with self._lock:
            if self._waiting:
                heapq.heappop(self._waiting)[2].release()
            else:
                self._free += 1
