"""The sliding window: a fixed number of photos under way, each carried by one thread from end to end.

No barrier anywhere: a slow photo holds its own place and nobody else's.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Window(Generic[In, Out]):
    """`work` must not raise; what it returns comes out of `collect`, in order of finishing.

    One thread submits and collects. The carriers are daemons: an exit never waits for a photo that was given up.
    """

    def __init__(self, size: int, work: Callable[[In], Out]) -> None:
        self._size = size
        self._work = work
        self._todo: queue.SimpleQueue[In] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Out] = queue.SimpleQueue()
        self._busy = 0

    def start(self) -> None:
        for number in range(self._size):
            threading.Thread(target=self._carry, name=f"photo-{number}", daemon=True).start()

    @property
    def busy(self) -> int:
        return self._busy

    @property
    def free(self) -> int:
        return self._size - self._busy

    def submit(self, item: In) -> None:
        """Only while `free` is above zero."""
        self._busy += 1
        self._todo.put(item)

    def collect(self, timeout_s: float) -> list[Out]:
        """Everything finished; waits up to `timeout_s` for the first."""
        finished: list[Out] = []
        try:
            finished.append(self._done.get(timeout=timeout_s) if timeout_s > 0 else self._done.get_nowait())
            while True:
                finished.append(self._done.get_nowait())
        except queue.Empty:
            self._busy -= len(finished)
            return finished

    def _carry(self) -> None:
        while True:
            self._done.put(self._work(self._todo.get()))
