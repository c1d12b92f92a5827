"""Objects that a process of ours stores, reads back and removes again, below one prefix: a folder or a bucket's.

Unlike the addresses of requests these are the deployment's own, so no list of allowed places is asked. Nothing outside
the prefix is read or removed, whatever address a result names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic

from cutstream.clients.objects import files
from cutstream.clients.objects.buckets import Buckets, is_missing
from cutstream.errors import AddressNotAllowed, SourceFailed
from cutstream.settings import ObjectSettings

_CHUNK_BYTES = 256 * 1024
_TIMEOUT_S = 60.0


class ObjectMissing(SourceFailed):
    """There is no such object, or it has been removed."""


@dataclass(frozen=True)
class Opened:
    """An object that is read: its size, and its bytes in chunks. Take all of them, or close them."""

    size: int
    chunks: Iterator[bytes]


class OwnObjects:
    """The objects below `prefix`: a folder, or a `file://`, `s3://`, `gs://` or `az://` address. Thread-safe."""

    def __init__(self, prefix: str, settings: ObjectSettings) -> None:
        self.prefix = (prefix if "://" in prefix else files.uri_of(prefix)).rstrip("/")
        self.folder = Path(files.path_of(self.prefix)) if self.prefix.startswith("file://") else None
        self._buckets = Buckets(settings, _TIMEOUT_S)

    def address(self, name: str) -> str:
        """Return the address of an object by its name below the prefix."""
        return f"{self.prefix}/{name}"

    def put_file(self, name: str, file: Path) -> str:
        """Move a file of this machine to the prefix, and return its address.

        Raises StoreUnavailable, PermissionError or RefusedAddress, or OSError for a folder.
        """
        uri = self.address(name)
        if self.folder is None:
            self._buckets.put_file(uri, file)
            file.unlink()
        else:
            target = self.folder / name
            try:
                os.rename(file, target)
            except OSError:  # its folder is missing, or it is on another file system
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(file, target)
        return uri

    def open(self, uri: str) -> Opened:
        """Open an object.

        Raises AddressNotAllowed outside the prefix, ObjectMissing, SourceFailed or SourceUnavailable.
        """
        self._check(uri)
        try:
            if self.folder is None:
                return Opened(*self._buckets.stream(uri))
            file = files.open_file(str(self._path(uri)))
        except SourceFailed as exc:
            if is_missing(exc):
                raise ObjectMissing(str(exc)) from exc
            raise

        def chunks() -> Iterator[bytes]:
            with file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk

        return Opened(os.fstat(file.fileno()).st_size, chunks())

    def remove(self, uri: str) -> None:
        """Remove an object, which may be gone already, and its folder if nothing is left in it.

        Raises AddressNotAllowed outside the prefix, StoreUnavailable, PermissionError or RefusedAddress.
        """
        self._check(uri)
        if self.folder is None:
            self._buckets.remove(uri)
        else:
            path = self._path(uri)
            files.remove(str(path))
            if path.parent != self.folder:
                with suppress(OSError):  # other objects are left in it, or it is gone, too
                    os.rmdir(path.parent)

    def sign(self, uri: str, seconds: float) -> str | None:
        """Return an address with which anybody can read the object for so long. None if it is in a folder."""
        self._check(uri)
        return None if self.folder is not None else self._buckets.sign(uri, seconds)

    def sweep(self, beginning: str, age_s: float, keep: Container[str] = frozenset(), limit_s: float = 60.0) -> int:
        """Remove objects whose names below the prefix begin so and that are older. Return how many were removed.

        Those whose addresses are in `keep` stay. It stops after `limit_s`. Raises StoreUnavailable or PermissionError.
        """
        until, removed = monotonic() + limit_s, 0
        oldest = datetime.now(timezone.utc).timestamp() - age_s
        for uri in self._older_than(beginning, oldest):
            if uri in keep:
                continue
            self.remove(uri)
            removed += 1
            if monotonic() > until:
                break
        return removed

    def _older_than(self, beginning: str, changed_s: float) -> Iterator[str]:
        if self.folder is None:
            yield from list(
                self._buckets.older_than(self.address(beginning), datetime.fromtimestamp(changed_s, timezone.utc))
            )
            return
        with suppress(FileNotFoundError):
            for entry in list(os.scandir(self.folder)):
                if entry.name.startswith(beginning) and entry.stat(follow_symlinks=False).st_mtime < changed_s:
                    if entry.is_dir(follow_symlinks=False):
                        yield from (files.uri_of(file.path) for file in os.scandir(entry.path) if not file.is_dir())
                    else:
                        yield files.uri_of(entry.path)

    def _path(self, uri: str) -> Path:
        """Return the path of an object in the folder, which holds no links: only this deployment writes to it."""
        path = files.path_of(uri)
        assert self.folder is not None
        if ".." in path.split("/") or not path.startswith(f"{self.folder}/"):
            raise AddressNotAllowed("an object outside of the gateway's own places")
        return Path(path)

    def _check(self, uri: str) -> None:
        if not uri.startswith(f"{self.prefix}/"):
            raise AddressNotAllowed("an object outside of the gateway's own places")
