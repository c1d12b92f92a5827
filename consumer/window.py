"""The sliding window: a fixed number of threads, each of which works on one item from start to end.

There is no barrier between items: a slow item occupies one thread and delays no other item.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Window(Generic[In, Out]):
    """Runs `work` on up to `size` items at a time, and returns the results in the order in which they finish.

    `work` must not raise. One thread calls `submit` and `collect`. The working threads are daemons, so that the process
    can exit while an item is unfinished.
    """

    def __init__(self, size: int, work: Callable[[In], Out]) -> None:
        self._size = size
        self._work = work
        self._submitted: queue.SimpleQueue[In] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Out] = queue.SimpleQueue()
        self._in_flight = 0

    def start(self) -> None:
        for number in range(self._size):
            threading.Thread(target=self._work_on_items, name=f"photo-{number}", daemon=True).start()

    @property
    def in_flight(self) -> int:
        """The number of items submitted and not collected."""
        return self._in_flight

    @property
    def free(self) -> int:
        """The number of items that may be submitted now."""
        return self._size - self._in_flight

    def submit(self, item: In) -> None:
        """Start work on an item. Call it only while `free` is above zero."""
        self._in_flight += 1
        self._submitted.put(item)

    def collect(self, timeout_s: float) -> list[Out]:
        """Return all finished results. Wait up to `timeout_s` for the first of them."""
        results: list[Out] = []
        try:
            results.append(self._finished.get(timeout=timeout_s) if timeout_s > 0 else self._finished.get_nowait())
            while True:
                results.append(self._finished.get_nowait())
        except queue.Empty:
            self._in_flight -= len(results)
            return results

    def _work_on_items(self) -> None:
        while True:
            self._finished.put(self._work(self._submitted.get()))
