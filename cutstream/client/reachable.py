"""Addresses under which workers read a photo, for a client that has no other way to hand it over."""

from __future__ import annotations

import shutil
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from cutstream.client.errors import NotReachable, PhotoUnreadable
from cutstream.client.requests import Source
from cutstream.clients.objects import files
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import SystemClock
from cutstream.errors import AddressNotAllowed
from cutstream.printable import printable
from cutstream.settings import BUCKET_SCHEMES, Settings, inbox_of, read_note

_LENT = "lent-"
_KEPT_S = 7 * 86_400.0  # for requests that were in flight when their client ended


class Reachable:
    """Finds the address of a photo. Kafka carries addresses, so the workers have to read the photo from where it is.

    The local stack's worker reads the folders that the stack's user has allowed. A file of this machine that lies
    elsewhere, and bytes, are lent to it: they are copied into the stack's inbox until the result is there. Other
    workers on this machine are taken to read what the client reads; workers elsewhere read addresses only. Thread-safe.
    """

    def __init__(self, settings: Settings, local_stack: bool) -> None:
        self._noted = read_note(settings.stack) if local_stack else None
        self._inbox = inbox_of(settings.stack, self._noted) if self._noted else None
        self._store = ObjectStore(self._noted, settings.limits) if self._noted else None
        self._is_here = all(map(_is_loopback, settings.kafka.bootstrap_servers.split(",")))
        self._lent: dict[str, Path] = {}
        if self._inbox is not None:
            _remove_old(self._inbox)

    def address_of(self, source: Source, id: str) -> str:
        """Return the address for the request with this id.

        Raises NotReachable if there is none, PhotoUnreadable for a file that cannot be read, and RefusedAddress or
        AddressNotAllowed for an address that the local stack's worker would refuse.
        """
        if isinstance(source, bytes):
            return self._lend(source, id, "")
        if isinstance(source, str):
            # Buckets are not asked about: the worker's credentials may differ from this program's.
            if self._store is not None and source.partition("://")[0].lower() not in BUCKET_SCHEMES:
                self._store.check_source(source)
            return source
        if not self._is_here:
            raise NotReachable(
                f"{printable(str(source))} is on this machine, and workers of another machine's Kafka cannot read it: "
                "put it in a bucket and give its address, give a file:// address if they share the folder, or use the "
                "HTTP service"
            )
        uri = files.uri_of(str(source))
        if self._store is not None:
            try:
                self._store.check_source(uri)
            except AddressNotAllowed as exc:
                if self._inbox is None:
                    raise NotReachable(f"{exc}; set it for the stack, or use the HTTP service") from exc
                return self._lend(source, id, source.suffix)
        return uri

    def release(self, id: str) -> None:
        """Take back what was lent for a request."""
        if file := self._lent.pop(id, None):
            file.unlink(missing_ok=True)

    def _lend(self, source: Path | bytes, id: str, suffix: str) -> str:
        if self._inbox is None:
            raise NotReachable(
                "Kafka carries addresses, not photos, and no inbox of a local stack is known that takes one: put the "
                "photo where the workers can read it and give its address, or use the HTTP service"
            )
        file = self._inbox / f"{_LENT}{id}{suffix}"
        self._lent[id] = file
        try:
            if isinstance(source, bytes):
                file.write_bytes(source)
            else:
                shutil.copyfile(source, file)
        except OSError as exc:
            self.release(id)
            if not isinstance(source, bytes) and exc.filename == str(source):
                raise PhotoUnreadable(f"{str(source)!r} cannot be read: {exc.strerror}") from exc
            raise NotReachable(f"{file} cannot be written ({exc.strerror}), so no worker can read the photo") from exc
        return files.uri_of(str(file))


def _remove_old(inbox: Path) -> None:
    oldest = SystemClock().wall() - _KEPT_S
    for file in inbox.glob(f"{_LENT}*"):
        with suppress(OSError):  # another client has removed it
            if file.stat().st_mtime < oldest:
                file.unlink()


def _is_loopback(server: str) -> bool:
    host = server.strip().rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
