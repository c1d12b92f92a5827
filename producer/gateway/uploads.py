"""Photos on their way from a client to the workers: written to a file while they come in, then handed to the store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.errors import CutstreamError
from cutstream.metrics import GatewayMetrics
from producer.gateway.errors import CallRefused, unavailable
from producer.gateway.names import RandomNames
from producer.gateway.tidying import Tidier

_FLUSH_BYTES = 1024 * 1024


class Incoming:
    """One upload that is being received. It holds at most 1 MiB in memory."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path
        self.name = ""  # what the client calls the file
        self.size = 0
        self._most_bytes = most_bytes
        self._buffer = bytearray()
        self._descriptor: int | None = None
        self._is_written = False

    def add(self, data: bytes | memoryview) -> None:
        """Take the next bytes. Raises CallRefused for a file that is too large."""
        self.size += len(data)
        if self.size > self._most_bytes:
            raise CallRefused(
                HTTPStatus.BAD_REQUEST,
                "file_too_large",
                "File too large",
                f"File exceeds limit of {self._most_bytes / 1e6:g} MB",
            )
        self._buffer += data

    @property
    def held(self) -> int:
        """The bytes in memory."""
        return len(self._buffer)

    @property
    def is_full(self) -> bool:
        return len(self._buffer) >= _FLUSH_BYTES

    def flush(self) -> None:
        """Write what is held in memory. Blocks."""
        if self._descriptor is None and self._is_written and not self._buffer:
            return
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            # Workers may run as another user: they find the file only by its name, which cannot be guessed.
            self._descriptor = os.open(self.path, flags, 0o644)
            self._is_written = True
        view = memoryview(self._buffer)
        while view:
            view = view[os.write(self._descriptor, view) :]
        view.release()
        self._buffer = bytearray()

    def digest(self) -> str:
        """Return the SHA-256 of what has been received. Blocks."""
        self.flush()
        digest = sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(_FLUSH_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        self.close()
        with suppress(FileNotFoundError):
            self.path.unlink()


class Uploads:
    """Receives photos into a folder of this machine and moves them to their place, under names that nobody can guess.

    `spool` and a `place` that is a folder should be on one file system: moving is then instant.
    """

    def __init__(
        self, place: OwnObjects, spool: Path, most_bytes: int, metrics: GatewayMetrics, tidier: Tidier
    ) -> None:
        self._place = place
        self._tidier = tidier
        self._names = RandomNames()
        self._spool = spool
        self._most_bytes = most_bytes
        self._metrics = metrics

    def begin(self, most_bytes: int | None = None) -> Incoming:
        """Begin an upload, of which a client's own limit may allow less than the deployment's."""
        most_bytes = self._most_bytes if most_bytes is None else min(most_bytes, self._most_bytes)
        return Incoming(self._spool / f"{self._names.next()}.part", most_bytes)

    async def receive(self, incoming: Incoming, data: bytes | memoryview) -> None:
        """Add bytes to an upload. Raises CallRefused if there are too many of them."""
        incoming.add(data)
        if incoming.is_full:
            await asyncio.to_thread(self._flush, incoming)

    async def park(self, several: Sequence[Incoming]) -> None:
        """Write uploads that have come in completely, so that they hold neither memory nor a descriptor."""

        def write() -> None:
            for incoming in several:
                self._flush(incoming)
                incoming.close()

        await asyncio.to_thread(write)

    def address_of(self, incoming: Incoming) -> str:
        """Return the address that a received photo will have."""
        return self._place.address(self._name_of(incoming))

    def store(self, incoming: Incoming) -> str:
        """Store a received photo and return its address. Blocks. Raises CallRefused if the store does not take it."""
        try:
            self._flush(incoming)
            incoming.close()
            address = self._place.put_file(self._name_of(incoming), incoming.path)
        except (CutstreamError, OSError) as exc:
            incoming.discard()
            raise exc if isinstance(exc, CallRefused) else unavailable("uploads cannot be stored now") from exc
        self._metrics.upload_bytes.inc(incoming.size)
        return address

    async def finish(self, incoming: Incoming) -> str:
        """Do as `store` does, on another thread."""
        return await asyncio.to_thread(self.store, incoming)

    async def digests(self, several: Sequence[Incoming]) -> list[str]:
        """Return the SHA-256 of each of these uploads. Raises CallRefused."""

        def read() -> list[str]:
            for incoming in several:
                self._flush(incoming)
            return [incoming.digest() for incoming in several]

        return await asyncio.to_thread(read)

    def remove(self, addresses: Sequence[str]) -> None:
        """Remove photos soon. From any thread."""
        self._tidier.remove(self._place, addresses)

    def _flush(self, incoming: Incoming) -> None:
        try:
            incoming.flush()
        except OSError as exc:
            raise unavailable(f"uploads cannot be stored now: {exc.strerror}") from exc

    @staticmethod
    def _name_of(incoming: Incoming) -> str:
        return incoming.path.name.removesuffix(".part")
