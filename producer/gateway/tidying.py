"""Removes what calls leave behind, on a thread of its own: no call waits for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.errors import CutstreamError

# It waits a little and then removes what several calls have left. Woken for each of them, it would compete with the
# event loop at the very moment when an answer is sent.
_GATHER_S = 0.05


class Tidier:
    """Removes objects soon. What cannot be removed now stays, and is removed by its age. Thread-safe."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[OwnObjects, Sequence[str]] | None] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway-tidy", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def remove(self, place: OwnObjects, addresses: Sequence[str]) -> None:
        if addresses:
            self._queue.put((place, addresses))

    def close(self) -> None:
        """Remove what is left, and return."""
        self._closing.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (found := self._queue.get()) is not None:
            self._closing.wait(_GATHER_S)
            while found is not None:
                self._remove(*found)
                try:
                    found = self._queue.get_nowait()
                except Empty:
                    break
            else:
                return

    def _remove(self, place: OwnObjects, addresses: Sequence[str]) -> None:
        for address in addresses:
            try:
                place.remove(address)
            except (CutstreamError, OSError):
                pass  # the sweep comes back to it
