"""Fetching sources and storing outputs by address: `file://` through `files`, http(s) through `download` and its
guard, `s3://`, `gs://` and `az://` through `buckets`."""

from __future__ import annotations

from cutstream.clients.objects import buckets, files
from cutstream.clients.objects.download import Downloads
from cutstream.clients.objects.guard import Guard
from cutstream.errors import ConfigurationError, RefusedAddress, StoreUnavailable
from cutstream.settings import LimitSettings, ObjectSettings

_PUT_TIMEOUT_S = 60.0


class ObjectStore:
    """Thread-safe."""

    def __init__(self, objects: ObjectSettings, limits: LimitSettings) -> None:
        self._limits = limits
        self._default = _default_prefix(objects.destination)
        folders, own_buckets = _places_of(self._default)
        self._roots = files.Folders(objects.file_roots)
        self._writable = files.Folders([*objects.file_roots, *folders])
        self._own_folders = files.Folders(folders)
        self._source_buckets = frozenset(objects.allowed_buckets)
        # With none listed a request may read every bucket, but write only to ours: one that the operator has not
        # vouched for may fail for ever, and a store that fails is waited for.
        self._destination_buckets = self._source_buckets | own_buckets
        self._downloads = Downloads(Guard(objects.allowed_hosts, objects.allow_private_addresses), limits)
        self._sources = buckets.Buckets(objects, limits.download_timeout_s)
        self._destinations = buckets.Buckets(objects, _PUT_TIMEOUT_S)

    def fetch(self, uri: str) -> bytes:
        """Raises RefusedAddress, SourceFailed, SourceUnavailable or FileTooLarge."""
        scheme = _scheme_of(uri)
        if scheme == "file":
            return files.read(self._roots.inside(files.path_of(uri)), self._limits.max_source_bytes)
        if scheme in ("http", "https"):
            return self._downloads.fetch(uri)
        if scheme not in buckets.SCHEMES:
            raise RefusedAddress("a source is file://, http://, https://, s3://, gs:// or az://")
        if self._source_buckets:
            _check_bucket(uri, self._source_buckets)
        return self._sources.get(uri, self._limits.max_source_bytes)

    def fetch_own(self, uri: str) -> bytes:
        """What lies below the default destination, which no request need be allowed to read; elsewhere as `fetch`.

        For addresses that come from the operator: one that a request names goes to `fetch`. Raises as that does.
        """
        if not uri.startswith(f"{self._default}/"):
            return self.fetch(uri)
        limit = self._limits.max_source_bytes
        if _scheme_of(uri) == "file":
            return files.read(self._own_folders.inside(files.path_of(uri)), limit)
        return self._sources.get(uri, limit)

    def resolve(self, destination: str | None, key: str) -> str:
        """The address of `key` below the request's destination, or below the default one.

        Raises RefusedAddress for a destination that the settings do not allow.
        """
        if not {"", ".", ".."}.isdisjoint(key.split("/")):
            raise RefusedAddress(f"the key {key} has an empty, . or .. part")
        prefix = self._default if destination is None else destination.rstrip("/")
        uri = f"{prefix}/{key}"
        self._check_destination(uri)
        return uri

    def put(self, uri: str, data: bytes, media_type: str) -> None:
        """Atomic, durable, overwrites. Raises StoreUnavailable or RefusedAddress.

        A place that denies us is the request's error when the request named it. Below the default destination it is
        ours: the worker waits, loses nothing, and goes on once access is repaired.
        """
        try:
            self._put(uri, data, media_type)
        except PermissionError as exc:
            if uri.startswith(f"{self._default}/"):
                raise StoreUnavailable(f"no access to CUTSTREAM_OBJECTS__DESTINATION: {exc}") from exc
            raise RefusedAddress(f"no access to the destination: {exc}") from exc

    def _put(self, uri: str, data: bytes, media_type: str) -> None:
        if _scheme_of(uri) == "file":
            files.write(self._writable.inside(files.path_of(uri)), data)
        else:
            self._check_destination(uri)
            self._destinations.put(uri, data, media_type)

    def _check_destination(self, uri: str) -> None:
        scheme = _scheme_of(uri)
        if scheme == "file":
            self._writable.inside(files.path_of(uri))
        elif scheme in buckets.SCHEMES:
            _check_bucket(uri, self._destination_buckets)
        else:
            raise RefusedAddress("a destination is file://, s3://, gs:// or az://")


def _scheme_of(uri: str) -> str:
    scheme, found, _ = uri.partition("://")
    if not found:
        raise RefusedAddress("an address begins with its scheme, such as file:///absolute/path or https://")
    return scheme.lower()


def _check_bucket(uri: str, allowed: frozenset[str]) -> None:
    scheme, bucket, _ = buckets.bucket_and_key(uri)
    if allowed.isdisjoint({bucket, f"{scheme}://{bucket}"}):
        raise RefusedAddress(f"{uri} names a bucket that is not among CUTSTREAM_OBJECTS__ALLOWED_BUCKETS")


def _default_prefix(destination: str) -> str:
    return destination.rstrip("/") if "://" in destination else files.uri_of(destination)


def _places_of(prefix: str) -> tuple[list[str], frozenset[str]]:
    """The folders and the buckets of the default destination: one of either."""
    try:
        if _scheme_of(prefix) == "file":
            return [files.path_of(prefix)], frozenset()
        if _scheme_of(prefix) in buckets.SCHEMES:
            scheme, bucket, _ = buckets.bucket_and_key(f"{prefix}/key")
            return [], frozenset({f"{scheme}://{bucket}"})
    except RefusedAddress as exc:
        raise ConfigurationError(f"CUTSTREAM_OBJECTS__DESTINATION: {exc}") from exc
    raise ConfigurationError("CUTSTREAM_OBJECTS__DESTINATION is a folder or a file://, s3://, gs:// or az:// address")
