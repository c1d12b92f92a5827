"""Micro-batching without a thread of its own: the first item of a batch leads it, the others wait for the result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from consumer.resources.priority_semaphore import PrioritySemaphore
from cutstream.errors import Poison

In = TypeVar("In")
Out = TypeVar("Out")


class MicroBatcher(Generic[In, Out]):
    """Calls `run` with up to `max_items` items that arrived within `max_wait_s`. Thread-safe.

    At most `in_flight` calls run at once. While all are busy the open batch goes on filling, so batches grow with the
    load. If `run` raises Poison for several items, each is run again alone, so that only the culprit fails.
    """

    def __init__(
        self, run: Callable[[Sequence[In]], Sequence[Out]], max_items: int, max_wait_s: float, in_flight: int
    ) -> None:
        self._run = run
        self._max_items = max_items
        self._max_wait_s = max_wait_s
        self._slots = PrioritySemaphore(in_flight)
        self._lock = threading.Lock()
        self._open: _Batch[In, Out] | None = None

    def __call__(self, item: In) -> Out:
        """Return the result for one item, or raise the error of its batch."""
        batch, index = self._join(item)
        if index == 0:
            self._lead(batch)
        batch.done.wait()
        if isinstance(batch.error, Poison) and len(batch.items) > 1:
            with self._slots.acquire():
                return self._run([item])[0]
        if batch.error is not None:
            raise batch.error
        return batch.results[index]

    def _join(self, item: In) -> tuple[_Batch[In, Out], int]:
        with self._lock:
            batch = self._open
            if batch is None or len(batch.items) == self._max_items:
                batch = self._open = _Batch()
            batch.items.append(item)
            if len(batch.items) == self._max_items:
                batch.full.set()
            return batch, len(batch.items) - 1

    def _lead(self, batch: _Batch[In, Out]) -> None:
        batch.full.wait(self._max_wait_s)
        with self._slots.acquire():
            with self._lock:
                if self._open is batch:
                    self._open = None
            try:
                batch.results = self._run(batch.items)
            except Exception as exc:
                batch.error = exc
            finally:
                batch.done.set()


class _Batch(Generic[In, Out]):
    def __init__(self) -> None:
        self.items: list[In] = []
        self.results: Sequence[Out] = ()
        self.error: Exception | None = None
        self.full = threading.Event()
        self.done = threading.Event()
