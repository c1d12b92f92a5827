"""Calls that wait for their results, by the ids of their requests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cutstream.contract.messages import Result
from producer.gateway.answers import Early


@dataclass(frozen=True)
class Arrived:
    """A result, with its first output if that has been read ahead."""

    result: Result
    early: Early


class Waiting:
    """The results that somebody in this process waits for. Used on one event loop, but for `in` and `is_abandoned`."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Arrived]] = {}
        self._abandoned: set[str] = set()

    def __len__(self) -> int:
        return len(self._futures)

    def __contains__(self, id: str) -> bool:
        return id in self._futures

    def expect(self, id: str) -> asyncio.Future[Arrived]:
        """Return the future of a request's result. Call it before the request is written, or a result may be missed."""
        future = asyncio.get_running_loop().create_future()
        self._futures[id] = future
        return future

    def abandon(self, id: str) -> None:
        """Note that a result is only expected to be removed with its outputs."""
        if id in self._futures:
            self._abandoned.add(id)

    def is_abandoned(self, id: str) -> bool:
        return id in self._abandoned

    def forget(self, id: str) -> None:
        """Wait no longer for a result. One that arrives later is nobody's."""
        self._pop(id)

    def deliver(self, arrived: Arrived) -> None:
        """Hand a result to who waits for it. A second one of the same request is dropped."""
        future = self._pop(arrived.result.id)
        if future is not None and not future.done():
            future.set_result(arrived)

    def fail(self, id: str, error: Exception) -> None:
        """Tell who waits that the request could not be written."""
        future = self._pop(id)
        if future is not None and not future.done():
            future.set_exception(error)

    def _pop(self, id: str) -> asyncio.Future[Arrived] | None:
        self._abandoned.discard(id)
        return self._futures.pop(id, None)
