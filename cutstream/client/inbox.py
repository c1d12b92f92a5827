"""The requests of a client that are in flight: how many there may be, and who waits for which result."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from queue import Empty, SimpleQueue

from cutstream.client.errors import ClientClosed, NoResult
from cutstream.client.failures import failed_result, is_of_photo
from cutstream.client.own_process import OwnProcess
from cutstream.client.requests import Photo
from cutstream.client.results import AsyncResult, Read, Result, SomeResult
from cutstream.contract.messages import Result as Details
from cutstream.errors import CutstreamError, InvalidOption


class Handle:
    """A photo that was submitted. Thread-safe."""

    def __init__(
        self,
        id: str,
        photo: Photo,
        read: Read,
        timeout_s: float,
        labels: Mapping[str, str] | None = None,
        process: OwnProcess | None = None,
    ) -> None:
        self.id = id
        self.photo = photo
        self.arrived: Future[Details] = Future()
        """What the worker will have written."""
        self._read = read
        self._timeout_s = timeout_s
        self._labels = labels or {}
        self._process = process or OwnProcess()

    def __repr__(self) -> str:
        return f"<Handle {self.id} {'done' if self.done else 'in flight'}>"

    @property
    def done(self) -> bool:
        """True once the result is there, or it is known that none will come."""
        return self.arrived.done()

    def result(self, timeout_s: float | None = None) -> Result:
        """Wait for the result, which may be that of a photo that failed: look at its `ok` or `raise_for_status`.

        `timeout_s` replaces the client's. Raises NoResult, after which it may be called again; ClientClosed; and
        BrokerUnavailable, or what else kept the request from being sent.
        """
        self._process.check()
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            return Result(self.id, self.photo, self.arrived.result(finite(limit_s)), self._read)
        except FutureTimeout:
            raise no_result([self], limit_s) from None

    async def async_result(self, timeout_s: float | None = None) -> AsyncResult:
        """Wait like `result`, without blocking the event loop."""
        self._process.check()
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        arrived = asyncio.shield(asyncio.wrap_future(self.arrived))  # whoever else waits goes on
        try:
            return AsyncResult(self.id, self.photo, await asyncio.wait_for(arrived, finite(limit_s)), self._read)
        except (asyncio.TimeoutError, TimeoutError):
            raise no_result([self], limit_s) from None

    def outcome(self, kind: type[SomeResult]) -> SomeResult:
        """Return the result of a handle that is done. If its photo could not be sent, that is a failed result.

        Raises what has kept the request from being sent and is no fault of its photo.
        """
        try:
            details = self.arrived.result(0)
        except CutstreamError as exc:
            if not is_of_photo(exc):
                raise
            details = failed_result(self.id, self.photo, self._labels, exc)
        return kind(self.id, self.photo, details, self._read)


class Inbox:
    """Handles in flight, by their ids. At most `places` have no result. Thread-safe."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._handles: dict[str, Handle] = {}
        self._changed = threading.Condition()
        self._closed: Exception | None = None

    def __len__(self) -> int:
        return len(self._handles)

    def __contains__(self, id: str) -> bool:
        return id in self._handles

    def expect(self, handle: Handle, timeout_s: float) -> None:
        """Wait until there is a place, and take it. Call it before the request is sent, or its result may be missed.

        Raises InvalidOption if a request with the same id is in flight, NoResult if no place becomes free in time, and
        what the inbox was closed with.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed is not None or self.has_room(), finite(timeout_s))
            if self._closed is not None:
                raise self._closed
            if not self.has_room():
                raise no_result(self.handles, timeout_s)
            if handle.id in self._handles:
                raise InvalidOption(f"a request with the id {handle.id!r} is in flight already: give each its own")
            self._handles[handle.id] = handle

    @property
    def handles(self) -> list[Handle]:
        """Those that have no result yet."""
        return list(self._handles.values())

    def has_room(self) -> bool:
        """Return whether `expect` would find a place now."""
        return len(self._handles) < self._places

    def deliver(self, id: str, result: Details) -> None:
        """Hand a result to who waits for it. A second one of the same request is nobody's."""
        if handle := self._take(id):
            handle.arrived.set_result(result)

    def fail(self, id: str, error: Exception) -> None:
        """Tell who waits for a result that none will come."""
        if handle := self._take(id):
            handle.arrived.set_exception(error)

    def close(self, error: Exception | None = None) -> None:
        """Tell all who wait, and all who come later, that no result will come any more."""
        with self._changed:
            self._closed = self._closed or error or ClientClosed("the client is closed")
            handles, self._handles = self._handles, {}
            self._changed.notify_all()
        for handle in handles.values():
            handle.arrived.set_exception(self._closed)

    def _take(self, id: str) -> Handle | None:
        with self._changed:
            handle = self._handles.pop(id, None)
            self._changed.notify()
        return handle


class Finishing:
    """Handles in the order in which they finish. One thread takes them; any may add to them."""

    def __init__(self, process: OwnProcess) -> None:
        self._process = process
        self._finished: SimpleQueue[Handle] = SimpleQueue()
        self._unfinished: dict[str, Handle] = {}

    def add(self, handle: Handle) -> None:
        if handle.id in self._unfinished:
            return
        self._unfinished[handle.id] = handle
        handle.arrived.add_done_callback(lambda _: self._finished.put(handle))

    def __len__(self) -> int:
        """Return how many have not been taken yet."""
        return len(self._unfinished)

    @property
    def left(self) -> list[Handle]:
        """Those that have no result yet."""
        return [handle for handle in self._unfinished.values() if not handle.done]

    def take(self, timeout_s: float) -> Handle:
        """Return the next that has finished. Raises NoResult if none does in time, and ClientForked."""
        self._process.check()
        try:
            handle = self._finished.get(timeout=finite(timeout_s))
        except Empty:
            raise no_result(self.left, timeout_s) from None
        del self._unfinished[handle.id]
        return handle

    def take_now(self) -> Handle | None:
        """Return one that has finished already."""
        return None if self._finished.empty() else self.take(math.inf)


def checked_timeout(timeout_s: float) -> float:
    """Return a time limit that can be kept. Raises InvalidOption."""
    if not timeout_s > 0:  # so that NaN is none either
        raise InvalidOption(
            f"timeout_s={timeout_s:g}: give the seconds to wait for a result, above 0, or math.inf for no limit"
        )
    return timeout_s


def finite(timeout_s: float) -> float | None:
    """Return a time limit as the standard library takes it: None for no limit."""
    return None if math.isinf(timeout_s) else timeout_s


def no_result(handles: list[Handle], timeout_s: float) -> NoResult:
    """Return the error that says which results have not come."""
    first = ", ".join(handle.id for handle in handles[:3])
    more = f" and {len(handles) - 3:,} more" if len(handles) > 3 else ""
    return NoResult(
        f"no result came for {timeout_s:g} s; waiting for {first}{more}. Either no worker runs, or others' requests "
        "come first: `cutstream top` shows which. Give a longer `timeout_s`, or math.inf for none"
    )
