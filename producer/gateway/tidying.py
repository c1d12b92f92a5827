"""Removes what a call leaves behind, on a thread of its own: no call waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from queue import SimpleQueue

from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.errors import CutstreamError


class Tidier:
    """Removes objects soon. What cannot be removed now stays, and is removed by its age. Thread-safe."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[OwnObjects, str] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="gateway-tidy", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def remove(self, place: OwnObjects, addresses: Iterable[str]) -> None:
        for address in addresses:
            self._queue.put((place, address))

    def close(self) -> None:
        """Remove what is left, and return."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (found := self._queue.get()) is not None:
            place, address = found
            try:
                place.remove(address)
            except (CutstreamError, OSError):
                pass  # the sweep comes back to it
