"""Read and write objects in the buckets of S3, Google Cloud Storage and Azure. The only module that imports obstore.

Addresses are literal, as in the stores' own tools: `%20` in a key is three characters, and `?versionId=3` belongs to
it. S3 takes its endpoint and keys from the settings. Without keys, and always for gs and az, obstore would look for
the machine's own credentials, at its cloud's metadata service too; it does so only if the settings allow it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from cutstream.errors import (
    AddressNotAllowed,
    ConfigurationError,
    FileTooLarge,
    RefusedAddress,
    SourceFailed,
    SourceUnavailable,
    StoreUnavailable,
)
from cutstream.redaction import redact
from cutstream.settings import BUCKET_NAME, ObjectSettings, is_host_and_port

# Names and endpoints are checked, because the library panics on some malformed ones.
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REGION = re.compile(r"[A-Za-z0-9_-]+")
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})")
_OTHER_REGION = "Received redirect without LOCATION"
_PASSING = {408, 423, 425, 429}
_CHUNK_BYTES = 256 * 1024
_MAX_KEY_BYTES = 1024  # of S3 and Google; of Azure as many characters

# The error that stands for each of obstore's exceptions: when reading a source, and when writing to a destination.
ERROR_MAP: dict[type[Exception], tuple[type[Exception], type[Exception]]] = {
    FileNotFoundError: (SourceFailed, PermissionError),  # at a destination the bucket is missing
    ValueError: (RefusedAddress, RefusedAddress),  # a key that obstore cannot name
    exceptions.NotFoundError: (SourceFailed, PermissionError),
    exceptions.InvalidPathError: (RefusedAddress, RefusedAddress),
    exceptions.PermissionDeniedError: (SourceFailed, PermissionError),
    exceptions.UnauthenticatedError: (SourceFailed, PermissionError),
    exceptions.NotSupportedError: (SourceFailed, PermissionError),
    exceptions.AlreadyExistsError: (SourceUnavailable, PermissionError),  # 409: what lies there stays
    exceptions.PreconditionError: (SourceUnavailable, PermissionError),
    exceptions.NotModifiedError: (SourceUnavailable, PermissionError),
    exceptions.GenericError: (SourceUnavailable, StoreUnavailable),  # time-outs, refused connections, 429, 5xx
    exceptions.JoinError: (SourceUnavailable, StoreUnavailable),
    exceptions.UnknownConfigurationKeyError: (ConfigurationError, ConfigurationError),
    exceptions.BaseError: (SourceUnavailable, StoreUnavailable),
}
_SOURCE, _DESTINATION = 0, 1
_LISTED_AT_ONCE = 1000


class Listed(NamedTuple):
    """An object in a listing: its address, its key, and a tag that changes with its content."""

    uri: str
    key: str
    tag: str


class Buckets:
    """A client for all buckets, which keeps one obstore client for each. Thread-safe.

    Every call ends within `timeout_s`. The caller retries.
    """

    def __init__(self, settings: ObjectSettings, timeout_s: float) -> None:
        self._config = {"s3": _s3_config(settings), "gs": _anonymous(settings), "az": _anonymous(settings)}
        self._client: Any = {
            "timeout": timedelta(seconds=timeout_s),
            "connect_timeout": timedelta(seconds=min(timeout_s, 5.0)),
            "allow_http": (settings.s3_endpoint or "").startswith("http://"),
        }
        self._store: Callable[[str, str], ObjectStore] = lru_cache(64)(self._create)

    def get(self, uri: str, limit: int) -> bytes:
        """Read an object of at most `limit` bytes.

        Raises RefusedAddress, SourceFailed, SourceUnavailable or FileTooLarge.
        """
        scheme, bucket, key = bucket_and_key(uri)
        store = self._client_of(scheme, bucket)
        with map_store_errors(uri, _SOURCE):
            result = obstore.get(store, key)
            size = result.meta["size"]  # the declared length; the HTTP client refuses a longer body
            if size > limit:
                raise FileTooLarge(f"{shown(uri)} has {size} bytes; at most {limit} are accepted")
            return bytes(result.bytes())

    def list(self, uri: str) -> Iterator[Listed]:
        """Yield the objects below a prefix, such as `s3://bucket/shoes/`, in the order of the store.

        Raises RefusedAddress, SourceFailed or SourceUnavailable.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, prefix = rest.rstrip("/").partition("/")
        bucket_and_key(f"{scheme}://{bucket}/{prefix or '-'}")  # refuses what is no address
        store = self._client_of(scheme.lower(), bucket)
        with map_store_errors(uri, _SOURCE):
            for chunk in obstore.list(store, prefix or None, chunk_size=_LISTED_AT_ONCE):
                for entry in chunk:
                    tag = entry["e_tag"] or f"{entry['size']}-{entry['last_modified'].timestamp()}"
                    yield Listed(f"{scheme.lower()}://{bucket}/{entry['path']}", entry["path"], tag)

    def put(self, uri: str, data: bytes, media_type: str) -> None:
        """Write an object in one request.

        Raises StoreUnavailable, PermissionError (no access, no such bucket, an object that the store refuses) or
        RefusedAddress.
        """
        scheme, bucket, key = bucket_and_key(uri)
        store = self._client_of(scheme, bucket)
        with map_store_errors(uri, _DESTINATION):
            # A single PUT is atomic. An interrupted multipart upload leaves parts behind, which cost money.
            obstore.put(store, key, data, attributes={"Content-Type": media_type}, use_multipart=False)

    def stream(self, uri: str) -> tuple[int, Iterator[bytes]]:
        """Return the size of an object and its bytes in chunks. Errors are those of `get`, also while it is read."""
        scheme, bucket, key = bucket_and_key(uri)
        store = self._client_of(scheme, bucket)
        with map_store_errors(uri, _SOURCE):
            result = obstore.get(store, key)

        def chunks() -> Iterator[bytes]:
            with map_store_errors(uri, _SOURCE):
                for chunk in result.stream(_CHUNK_BYTES):
                    yield bytes(chunk)

        return result.meta["size"], chunks()

    def put_file(self, uri: str, file: Path) -> None:
        """Write an object from a file of this machine, which is not held in memory. Errors are those of `put`."""
        scheme, bucket, key = bucket_and_key(uri)
        store = self._client_of(scheme, bucket)
        with map_store_errors(uri, _DESTINATION):
            obstore.put(store, key, file)

    def remove(self, uri: str) -> None:
        """Remove an object, which may be gone already. Errors are those of `put`."""
        scheme, bucket, key = bucket_and_key(uri)
        store = self._client_of(scheme, bucket)
        with map_store_errors(uri, _DESTINATION), suppress(FileNotFoundError, exceptions.NotFoundError):
            obstore.delete(store, key)

    def sign(self, uri: str, seconds: float) -> str:
        """Return an https address that lets anybody read the object for so long.

        Raises StoreUnavailable or PermissionError, also for a store without keys to sign with.
        """
        scheme, bucket, key = bucket_and_key(uri)
        store: Any = self._client_of(scheme, bucket)
        with map_store_errors(uri, _DESTINATION):
            return obstore.sign(store, "GET", key, timedelta(seconds=seconds))

    def older_than(self, prefix: str, changed: datetime) -> Iterator[str]:
        """Yield the addresses that begin with `prefix` of the objects that were last changed before a time.

        Raises StoreUnavailable or PermissionError.
        """
        scheme, bucket, key = bucket_and_key(prefix)
        folder, _, beginning = key.rpartition("/")
        store: Any = self._client_of(scheme, bucket)
        with map_store_errors(prefix, _DESTINATION):
            for page in obstore.list(store, folder or None):
                for found in page:
                    name = found["path"].removeprefix(f"{folder}/")
                    if name.startswith(beginning) and found["last_modified"] < changed:
                        yield f"{scheme}://{bucket}/{found['path']}"

    def check_source(self, uri: str) -> None:
        """Raise AddressNotAllowed for the bucket of a store that this machine has no account for."""
        self._client_of(*bucket_and_key(uri)[:2])

    def check_destination(self, uri: str) -> None:
        """Raise AddressNotAllowed for a bucket that cannot be written to with what is configured."""
        scheme, bucket, _ = bucket_and_key(uri)
        self._client_of(scheme, bucket)
        config = self._config[scheme]
        if config.get("skip_signature") and not config.get("endpoint"):  # a store of one's own may ask for none
            raise AddressNotAllowed(
                f"{scheme}://{bucket} cannot be written to without credentials: {_credentials_of(scheme)}"
            )

    def _client_of(self, scheme: str, bucket: str) -> ObjectStore:
        try:
            return self._store(scheme, bucket)
        except tuple(ERROR_MAP) as exc:
            raise AddressNotAllowed(
                f"{scheme}:// is not configured here ({_reason(exc)}): {_credentials_of(scheme)}"
            ) from exc

    def _create(self, scheme: str, bucket: str) -> ObjectStore:
        make: Any = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[scheme]
        store: ObjectStore = make(
            bucket, config=self._config[scheme], client_options=self._client, retry_config={"max_retries": 0}
        )
        return store


def _is_endpoint(text: str) -> bool:
    parts = _ENDPOINT.fullmatch(text)
    return parts is not None and is_host_and_port(f"{parts[1]}{parts[2] or ':443'}")


def _credentials_of(scheme: str) -> str:
    keys = "set CUTSTREAM_OBJECTS__S3_ACCESS_KEY_ID and CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY, or "
    account = ", and name the account in AZURE_STORAGE_ACCOUNT_NAME" if scheme == "az" else ""
    return f"{keys if scheme == 's3' else 'set '}CUTSTREAM_OBJECTS__MACHINE_CREDENTIALS=true{account}"


def _anonymous(settings: ObjectSettings) -> dict[str, Any]:
    """Return what keeps the library from looking for credentials that nobody allowed it to use."""
    return {} if settings.machine_credentials else {"skip_signature": True}


def _s3_config(settings: ObjectSettings) -> dict[str, Any]:
    endpoint, key, secret = settings.s3_endpoint, settings.s3_access_key_id, settings.s3_secret_access_key
    if endpoint is not None and not _is_endpoint(endpoint):
        raise ConfigurationError(
            f"CUTSTREAM_OBJECTS__S3_ENDPOINT={endpoint} must have the form http(s)://host[:port][/path]"
        )
    if not _REGION.fullmatch(settings.s3_region):
        raise ConfigurationError(
            f"CUTSTREAM_OBJECTS__S3_REGION={settings.s3_region} is no region: it takes letters, digits, _ and -"
        )
    config = {
        "region": settings.s3_region,
        "endpoint": endpoint,
        "access_key_id": key,
        "secret_access_key": secret.get_secret_value() if secret else None,
        **(_anonymous(settings) if key is None else {}),
    }
    return {name: value for name, value in config.items() if value is not None}


def bucket_and_key(uri: str) -> tuple[str, str, str]:
    """Split an address into scheme, bucket and key. Raises RefusedAddress."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise RefusedAddress(f"{shown(uri)} names no bucket; use the form scheme://bucket/key")
    if not BUCKET_NAME.fullmatch(bucket):
        raise RefusedAddress(
            f"{redact(f'{scheme}://{bucket}')[:100]!r} is no bucket: a name has 1 to 222 letters, digits and any of "
            ". _ - and begins with a letter or digit; use the form scheme://bucket/key"
        )
    if control := _CONTROL.search(key):
        raise RefusedAddress(f"a key contains the control character U+{ord(control[0]):04X}")
    # A store answers 400 to a longer one, as it does to a faulty configuration: the worker would wait for its cure.
    if len(key.encode(errors="replace")) > _MAX_KEY_BYTES:
        raise RefusedAddress(f"a key of more than {_MAX_KEY_BYTES:,} bytes, which no store holds")
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        # The library would drop these parts, and the object would not be the one that the address names.
        raise RefusedAddress(f"{shown(uri)} has an empty, . or .. part in its key")
    return scheme.lower(), bucket, key


def shown(uri: str) -> str:
    """Return an address as messages show it. A question mark is part of a key, but a signature may follow it
    that somebody left there."""
    visible, mark, _ = uri.partition("?")
    return f"{visible}{mark}…" if mark else visible


@contextmanager
def map_store_errors(uri: str, role: int) -> Iterator[None]:
    """Map obstore's exceptions to errors. `role` is a column of ERROR_MAP: `_SOURCE` or `_DESTINATION`."""
    try:
        yield
    except tuple(ERROR_MAP) as exc:
        errors = next(ERROR_MAP[kind] for kind in type(exc).__mro__ if kind in ERROR_MAP)
        error = PermissionError if role == _DESTINATION and _is_refused(exc) else errors[role]
        raise error(f"{shown(uri)}: {_reason(exc)}") from exc


def is_missing(exc: SourceFailed) -> bool:
    """Tell whether an error of `map_store_errors`, or of a file, says that there is no such object."""
    return isinstance(exc.__cause__, (FileNotFoundError, exceptions.NotFoundError))


def _is_refused(exc: Exception) -> bool:
    """Tell whether a store answered that it will never take this object there, such as 301 for another region.

    The library has no exceptions of their own for most such answers, and states the status in its text only.
    """
    status = _STATUS.search(str(exc))
    if status is None:
        return _OTHER_REGION in str(exc)
    return int(status[1]) < 500 and int(status[1]) not in _PASSING


def _reason(exc: Exception) -> str:
    """Return the beginning of the library's message on one line. Queries are left out: they may be signatures."""
    text = " ".join(str(exc).partition("\n\nDebug source")[0].split())
    return re.sub(r"(\?|%3F)\S+", "?…", text)[:300]
