"""A semaphore that serves callers in an order of their own, such as the oldest request first."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple, TypeAlias

Order: TypeAlias = tuple[float, ...]

_CHECK_INTERVAL_S = 0.25


class PrioritySemaphore:
    """A semaphore with `size` units. The waiting caller with the lowest `order` is served next. Thread-safe.

    Callers with an equal `order` are served in the order in which they asked. A plain semaphore gives a free unit to
    whichever thread happens to run next, so that one request can be overtaken by dozens: it finishes late, and the
    results behind it in its partition wait with it. `observe` is called with the units in use after every change.
    """

    def __init__(self, size: int, observe: Callable[[float], None] = lambda used: None) -> None:
        self._size = size
        self._free = size
        self._observe = observe
        self._lock = threading.Lock()
        self._waiting: list[_Waiter] = []
        self._sequence = count()

    @contextmanager
    def acquire(
        self, order: Order = (), units: int = 1, give_up: Callable[[], None] = lambda: None
    ) -> Iterator[Callable[[int], None]]:
        """Hold `units`, at most `size`, inside the block, which may keep fewer by calling what it is given.

        While it waits it calls `give_up` four times a second. What that raises ends the wait.
        """
        self._acquire(order, units, give_up)
        held = units

        def keep(fewer: int) -> None:
            nonlocal held
            freed, held = max(0, held - fewer), min(held, fewer)
            self._release(freed)

        try:
            yield keep
        finally:
            self._release(held)

    def _acquire(self, order: Order, units: int, give_up: Callable[[], None]) -> None:
        waiter = _Waiter(order, next(self._sequence), units, threading.Lock())
        waiter.turn.acquire()  # `_serve` releases it
        with self._lock:
            heapq.heappush(self._waiting, waiter)
            self._serve()
        try:
            while not waiter.turn.acquire(timeout=_CHECK_INTERVAL_S):
                give_up()
        except BaseException:
            self._withdraw(waiter)
            raise

    def _release(self, units: int) -> None:
        with self._lock:
            self._free += units
            self._serve()

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                heapq.heapify(self._waiting)
            else:  # it was served just now
                self._free += waiter.units
            self._serve()

    def _serve(self) -> None:
        """Hand out what is free. A caller that needs many units holds back all later ones, or it would starve."""
        while self._waiting and self._waiting[0].units <= self._free:
            waiter = heapq.heappop(self._waiting)
            self._free -= waiter.units
            waiter.turn.release()
        self._observe(self._size - self._free)


class _Waiter(NamedTuple):
    order: Order
    number: int
    units: int
    turn: threading.Lock
