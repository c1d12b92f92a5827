"""A least-recently-used cache with a limit in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from cutstream.metrics import Metrics

Kind: TypeAlias = Literal["file", "decoded", "fitted"]
Key: TypeAlias = tuple[Kind, Hashable]


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


class Cache:
    """Thread-safe. Values are shared: do not modify them. A dropped value stays valid for whoever still holds it."""

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
        """Return the cached value if there is one and it is `usable`; otherwise make, cache and return it.

        Callers that ask while it is being made wait, and get the same value or the same error. Errors are not cached.
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
            del making  # breaks a cycle: an error's traceback refers to this frame, which would keep both alive

    def has(self, kind: Kind, name: Hashable, usable: Callable[[Any], bool]) -> bool:
        """Return whether `get` would find a usable value. It does not count as a use."""
        with self._lock:
            kept = self._kept.get((kind, name))
            return kept is not None and usable(kept)

    def drop_oldest(self, kind: Kind) -> bool:
        """Drop the least recently used value of this kind. Returns False if there is none."""
        with self._lock:
            oldest = next((key for key in self._kept if key[0] == kind), None)
            if oldest is None:
                return False
            self._drop(oldest)
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
