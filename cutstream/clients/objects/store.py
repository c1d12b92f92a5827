"""Fetch sources and store outputs by address.

`files` serves `file://`, `download` with its guard http(s), and `buckets` `s3://`, `gs://` and `az://`.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from cutstream.clients.objects import buckets, files
from cutstream.clients.objects.guard import Guard
from cutstream.clients.objects.refusals import PROBE_NAME, Refusals
from cutstream.clients.objects.web_address import parse_web_address
from cutstream.clients.objects.write_limit import LIMITS_S, WriteLimit
from cutstream.errors import (
    AddressNotAllowed,
    ConfigurationError,
    CutstreamError,
    DestinationUnavailable,
    OutputRefused,
    RefusedAddress,
    StoreUnavailable,
)
from cutstream.settings import BUCKET_SCHEMES, LimitSettings, ObjectSettings
from cutstream.shortage import blaming_no_request

if TYPE_CHECKING:
    from cutstream.clients.objects.download import Downloader

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}")
_LONGEST_OUTPUT = "background-0123456789ab.webp"
_OUTPUT_PATH = "the path of an output"


class ObjectStore:
    """Sources and outputs under all supported addresses, within what the settings allow. Thread-safe."""

    def __init__(self, objects: ObjectSettings, limits: LimitSettings) -> None:
        self._limits = limits
        self._default = _default_prefix(objects.destination)
        folders, own_buckets = _folders_and_buckets(self._default)
        self._roots = files.AllowedFolders(objects.file_roots)
        self._places = [
            os.path.join(real(path), "")
            for path in (*map(str, objects.file_roots), *folders)
            for real in (os.path.abspath, os.path.realpath)
        ]
        self._writable = files.AllowedFolders([*objects.file_roots, *folders])
        self._own_folders = files.AllowedFolders(folders)
        self.default_folders = tuple(folders)
        """The folder of the default destination, if that is a folder."""
        self._source_buckets = frozenset(objects.allowed_buckets)
        # Without a list a request may read from any bucket, but write only to the default one: this machine may have
        # the right to write to others that are none of the requester's.
        self._own_buckets = own_buckets
        self._destination_buckets = self._source_buckets | own_buckets
        self._guard = Guard(objects.allowed_hosts, objects.allow_private_addresses)
        self._opening = Lock()
        self._sources = buckets.Buckets(objects, limits.download_timeout_s)
        self._destinations = [buckets.Buckets(objects, limit_s) for limit_s in LIMITS_S]
        self._write_limits: defaultdict[tuple[str, str], WriteLimit] = defaultdict(WriteLimit)  # of the allowed buckets
        self._refusals = Refusals(self._write_probe)

    @cached_property
    def _opened_downloader(self) -> Downloader:
        from cutstream.clients.objects.download import Downloader

        return Downloader(self._guard, self._limits)

    @property
    def _downloader(self) -> Downloader:
        """Opened for the first http(s) source: its libraries and the system's certificates take 60 ms to load."""
        with self._opening:
            return self._opened_downloader

    @blaming_no_request()
    def fetch(self, uri: str, limit_s: float | None = None) -> bytes:
        """Fetch a source, over http(s) within `limit_s` or the time that the settings allow.

        Raises RefusedAddress, SourceFailed, SourceUnavailable or FileTooLarge.
        """
        scheme = _scheme_of(uri)
        if scheme == "file":
            return files.read(self._roots.resolve(files.path_of(uri)), self._limits.max_source_bytes)
        if scheme in ("http", "https"):
            return self._downloader.fetch(uri, limit_s)
        self._check_source_bucket(uri)
        return self._sources.get(uri, self._limits.max_source_bytes)

    def list(self, prefix: str) -> Iterator[buckets.Listed]:
        """Yield the objects below a prefix of a bucket, such as `s3://bucket/shoes/`.

        Raises RefusedAddress, SourceFailed or SourceUnavailable.
        """
        self._check_source_bucket(f"{prefix.rstrip('/')}/-")
        return self._sources.list(prefix)

    def check_source(self, uri: str) -> None:
        """Raise RefusedAddress for a source that `fetch` would refuse, as far as the address alone tells."""
        scheme = _scheme_of(uri)
        if scheme == "file":
            path = files.path_of(uri)
            files.check_parts(path)
            self._roots.resolve(path)
        elif scheme in ("http", "https"):
            self._guard.check(parse_web_address(uri).host)
        else:
            self._check_source_bucket(uri)
            self._sources.check_source(uri)

    def check_destination(self, destination: str | None, folder: str = "id") -> None:
        """Raise RefusedAddress for a destination that cannot take the outputs in `folder`, as far as is known.

        It may still turn out to be closed when something is written to it. What lies in the default destination is not
        looked at: it may be away, and then requests wait.
        """
        uri = self.resolve(destination, f"{folder}/{_LONGEST_OUTPUT}")
        if _scheme_of(uri) == "file":
            if destination is not None:
                files.check_writable(self._writable.resolve(files.path_of(uri)))
        else:
            self._destinations[0].check_destination(uri)

    @blaming_no_request()
    def fetch_own(self, uri: str) -> bytes:
        """Fetch from an address that the operator named. Objects below the default destination are always allowed.

        An address that a request names must go to `fetch`, which has to be allowed to read it. Raises the same errors.
        """
        if not uri.startswith(f"{self._default}/"):
            return self.fetch(uri)
        limit = self._limits.max_source_bytes
        if _scheme_of(uri) == "file":
            return files.read(self._own_folders.resolve(files.path_of(uri)), limit)
        return self._sources.get(uri, limit)

    def resolve(self, destination: str | None, key: str) -> str:
        """Return the address of `key` below a request's destination, or below the default one.

        Raises RefusedAddress for a destination that the settings do not allow.
        """
        if not {"", ".", ".."}.isdisjoint(key.split("/")):
            raise RefusedAddress(f"the object key {key} has an empty, . or .. part")
        if destination is None:
            uri = f"{self._default}/{key}"
            _output_path(uri)  # what lies there is not looked at: the place may be away
        else:
            uri = f"{destination.rstrip('/')}/{key}"
            if PROBE_NAME in self._check_destination(uri).split("/"):
                raise RefusedAddress(f"a folder called {PROBE_NAME} is not accepted: workers use this name themselves")
        return uri

    @blaming_no_request()
    def put(self, uri: str, data: bytes, media_type: str, named: bool = False) -> None:
        """Store an object atomically and durably, over an existing one.

        `named` says that a request named the destination: if that denies access or never takes such an object, this
        raises RefusedAddress, and DestinationUnavailable if it is away. The default destination is waited for
        (StoreUnavailable) in all these cases, unless it takes other objects and only refuses this one: then this raises
        OutputRefused, at the third attempt or later.
        """
        began_s = monotonic()
        try:
            self._put(uri, data, media_type)
        except (PermissionError, RefusedAddress) as exc:
            if not named:
                raise self._refused_by_default(uri, exc) from exc
            if isinstance(exc, RefusedAddress):
                raise
            raise RefusedAddress(f"no access to the destination: {exc}") from exc
        except StoreUnavailable as exc:
            if named:
                raise DestinationUnavailable(f"destination: {exc}", is_ours=self._is_ours(uri)) from exc
            raise
        if not named:
            self._refusals.note_written(uri, began_s)

    def _refused_by_default(self, uri: str, refusal: Exception) -> CutstreamError:
        if self._refusals.is_of_this_object(uri):
            return OutputRefused(f"the default destination takes other objects, but not this one: {refusal}")
        return StoreUnavailable(f"no access to CUTSTREAM_OBJECTS__DESTINATION: {refusal}")

    def _write_probe(self) -> None:
        self._put(f"{self._default}/{PROBE_NAME}", b"Does the destination work?\n", "text/plain")

    def _put(self, uri: str, data: bytes, media_type: str) -> None:
        if _scheme_of(uri) == "file":
            files.write(self._writable.resolve(files.path_of(uri)), data)
        else:
            self._check_destination(uri)
            self._put_in_bucket(uri, data, media_type)

    def _put_in_bucket(self, uri: str, data: bytes, media_type: str) -> None:
        scheme, bucket, _ = buckets.bucket_and_key(uri)
        limit = self._write_limits[scheme, bucket]
        level, started, done = limit.level, monotonic(), False
        try:
            self._destinations[level].put(uri, data, media_type)
            done = True
        finally:
            limit.record(level, monotonic() - started, done)

    def place_of_destination(self, destination: str) -> str:
        """Return the bucket, or the allowed folder, that a destination lies in: writes there fail together.

        No file system is asked, for one that is away may not answer. Behind a symlink all folders are one.
        """
        if _scheme_of(destination) == "file":
            path = os.path.join(os.path.normpath(files.path_of(destination)), "")
            return files.uri_of(max((root for root in self._places if path.startswith(root)), key=len, default="/"))
        return "{}://{}".format(*buckets.bucket_and_key(f"{destination.rstrip('/')}/-"))

    def _is_ours(self, uri: str) -> bool:
        """Return whether an address lies in the bucket or below the folder of the default destination."""
        if _scheme_of(uri) != "file":
            return "{}://{}".format(*buckets.bucket_and_key(uri)) in self._own_buckets
        try:
            self._own_folders.resolve(files.path_of(uri))
        except RefusedAddress:
            return False
        return True

    def _check_source_bucket(self, uri: str) -> None:
        if (scheme := _scheme_of(uri)) not in BUCKET_SCHEMES:
            raise RefusedAddress(
                f"{scheme}:// is not supported: a source is file://, http://, https://, s3://, gs:// or az://"
            )
        buckets.bucket_and_key(uri)
        if self._source_buckets:
            _check_bucket(uri, self._source_buckets)

    def _check_destination(self, uri: str) -> str:
        """Return the real path, or the key, that an allowed address stands for."""
        path = _output_path(uri)
        if _scheme_of(uri) == "file":
            path = self._writable.resolve(path)
            files.check_parts(path, _OUTPUT_PATH)
        else:
            _check_bucket(uri, self._destination_buckets)
        return path


def _output_path(uri: str) -> str:
    """Return the path or the key of an address. Raises RefusedAddress for what no output can have."""
    scheme = _scheme_of(uri)
    if scheme == "file":
        path = files.path_of(uri)
    elif scheme in BUCKET_SCHEMES:
        path = buckets.bucket_and_key(uri)[2]
    else:
        raise RefusedAddress(f"{scheme}:// is not supported: a destination is file://, s3://, gs:// or az://")
    files.check_parts(path, _OUTPUT_PATH)
    return path


def _scheme_of(uri: str) -> str:
    scheme, found, _ = uri.partition("://")
    if not found or not _SCHEME.fullmatch(scheme):  # what is none is not shown: host/path?secret&next=https://…
        raise RefusedAddress("an address must begin with a scheme, such as file:///absolute/path or https://")
    return scheme.lower()


def _check_bucket(uri: str, allowed: frozenset[str]) -> None:
    scheme, bucket, _ = buckets.bucket_and_key(uri)
    if allowed.isdisjoint({bucket, f"{scheme}://{bucket}"}):
        raise AddressNotAllowed(
            f"{buckets.shown(uri)} is in a bucket that CUTSTREAM_OBJECTS__ALLOWED_BUCKETS does not list"
        )


def _default_prefix(destination: str) -> str:
    return destination.rstrip("/") if "://" in destination else files.uri_of(destination)


def _folders_and_buckets(prefix: str) -> tuple[list[str], frozenset[str]]:
    """Return the folders and the buckets of the default destination, one of which is empty."""
    try:
        if _scheme_of(prefix) == "file":
            files.check_parts(f"{files.path_of(prefix)}/id/{_LONGEST_OUTPUT}", _OUTPUT_PATH)
            return [files.path_of(prefix)], frozenset()
        if _scheme_of(prefix) in BUCKET_SCHEMES:
            scheme, bucket, key = buckets.bucket_and_key(f"{prefix}/id/{_LONGEST_OUTPUT}")
            files.check_parts(key, _OUTPUT_PATH)
            return [], frozenset({f"{scheme}://{bucket}"})
    except RefusedAddress as exc:
        raise ConfigurationError(f"CUTSTREAM_OBJECTS__DESTINATION: {exc}") from exc
    raise ConfigurationError(
        f"CUTSTREAM_OBJECTS__DESTINATION={prefix} must be a folder or a file://, s3://, gs:// or az:// address"
    )
