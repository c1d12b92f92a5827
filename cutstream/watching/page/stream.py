"""Server-sent events. The numbers are computed once a second for all who watch, and not at all while nobody does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from cutstream import __version__
from cutstream.watching.page.documents import failure_document, photo_document, view_document
from cutstream.watching.page.sampling import Sampling
from cutstream.watching.recent import Recent
from cutstream.watching.scraping import INTERVAL_S

MOST_WATCHERS = 16


class Stream:
    """Events: `hello` first; `view` with the numbers once a second, the heartbeat; `photo` and `failure` as they come.

    A watcher that falls behind misses numbers, never memory: it is sent the newest, once it has taken the last. All
    methods belong to the server's loop.
    """

    def __init__(self, sampling: Sampling, recent: Recent, gateway: str = "") -> None:
        self._sampling = sampling
        self._recent = recent
        self._gateway = gateway
        self._watchers = 0
        self._numbers = b""
        self._turn = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @contextmanager
    def watched(self) -> Iterator[bool]:
        """Hold one of the places for watchers inside the block. Yields False if all are taken."""
        if self._watchers >= MOST_WATCHERS:
            yield False
            return
        self._begin()
        try:
            yield True
        finally:
            self._end()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events for one watcher, beginning with all that is known, until `close`."""
        known = {"photos": self._recent.shows_photos, "release": __version__, "gateway": self._gateway}
        event = _event("hello", known)
        photos = failures = 0
        while not self._closed:
            turn = self._turn
            event += self._numbers
            for number, photo in self._recent.photos.after(photos):
                event, photos = event + _event("photo", photo_document(photo)), number
            for number, failure in self._recent.failures.after(failures):
                event, failures = event + _event("failure", failure_document(failure)), number
            yield event
            event = b""
            await turn.wait()

    def close(self) -> None:
        """End the events of all watchers."""
        self._closed = True
        self._turn.set()

    def _begin(self) -> None:
        self._watchers += 1
        if self._task is None:
            self._sampling.start()
            self._recent.watched = True
            self._read()
            self._task = asyncio.get_running_loop().create_task(self._run())

    def _end(self) -> None:
        self._watchers -= 1
        if self._watchers == 0 and self._task is not None:
            self._task.cancel()
            self._task = None
            self._recent.watched = False
            self._sampling.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            self._read()
            turn, self._turn = self._turn, asyncio.Event()
            turn.set()

    def _read(self) -> None:
        self._numbers = _event("view", view_document(self._sampling.view()))


def _event(name: str, document: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()
