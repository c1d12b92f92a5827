"""What is costly to make and asked for again: kept within a number of bytes, the one not used longest goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from cutstream.metrics import Metrics

Kind: TypeAlias = Literal["decoded", "fitted"]
Key: TypeAlias = tuple[Kind, Hashable]


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


class Cache:
    """Thread-safe. Values are shared and not to be modified; one that is dropped stays whole for whoever has it."""

    def __init__(self, limit_bytes: int, metrics: Metrics) -> None:
        self.limit_bytes = limit_bytes
        self._metrics = metrics
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Any] = OrderedDict()
        self._making: dict[Key, Future[Any]] = {}
        self._used = 0

    def get(
        self, kind: Kind, name: Hashable, make: Callable[[], T], usable: Callable[[T], bool] = lambda value: True
    ) -> T:
        """What is kept under this name and `usable`, or else what `make` returns.

        Those who ask while it is being made wait, and get the same value or the same error; an error is not kept.
        """
        key: Key = (kind, name)
        with self._lock:
            kept: T | None = self._kept.get(key)
            if kept is not None and usable(kept):
                self._kept.move_to_end(key)
                self._count(kind, "hit")
                return kept
            making = self._making.get(key)
            if making is None:
                self._making[key] = Future()
        self._count(kind, "hit" if making else "miss")
        if making is None:
            return self._make(key, make)
        try:
            shared: T = making.result()
            return shared
        finally:
            del making  # an error's traceback leads here: without this it would hold itself, and what it saw, alive

    def drop_oldest(self) -> bool:
        """False where nothing is kept."""
        with self._lock:
            if not self._kept:
                return False
            self._drop(next(iter(self._kept)))
            return True

    def _make(self, key: Key, make: Callable[[], T]) -> T:
        try:
            value = make()
        except BaseException as exc:
            with self._lock:
                making = self._making.pop(key)
            making.set_exception(exc)
            del making
            raise
        with self._lock:
            making = self._making.pop(key)
            self._keep(key, value)
        making.set_result(value)
        return value

    def _keep(self, key: Key, value: Sized) -> None:
        if key in self._kept:
            self._drop(key)
        if value.nbytes > self.limit_bytes:
            return
        self._kept[key] = value
        self._add(value.nbytes)
        while self._used > self.limit_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        self._add(-self._kept.pop(key).nbytes)

    def _add(self, change: int) -> None:
        self._used += change
        self._metrics.background_bytes.set(self._used)

    def _count(self, kind: Kind, outcome: str) -> None:
        self._metrics.background_lookups.labels(kind, outcome).inc()
