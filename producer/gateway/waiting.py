"""Calls that wait for their results, by the ids of their requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cutstream.contract.messages import Result


class Waiting:
    """The results that somebody in this process waits for. Used on one event loop."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Result]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    def __contains__(self, id: str) -> bool:
        return id in self._futures

    def expect(self, id: str) -> asyncio.Future[Result]:
        """Return the future of a request's result. Call it before the request is written, or a result may be missed."""
        future = asyncio.get_running_loop().create_future()
        self._futures[id] = future
        return future

    def forget(self, id: str) -> None:
        """Wait no longer for a result. One that arrives later is nobody's."""
        self._futures.pop(id, None)

    def deliver(self, results: Iterable[Result]) -> None:
        """Hand each result to who waits for it. A second one of the same request is dropped."""
        for result in results:
            future = self._futures.pop(result.id, None)
            if future is not None and not future.done():
                future.set_result(result)

    def fail(self, ids: Iterable[str], error: Exception) -> None:
        """Tell those who wait that their requests could not be written."""
        for id in ids:
            future = self._futures.pop(id, None)
            if future is not None and not future.done():
                future.set_exception(error)
