"""The only module that talks to obstore: objects in the buckets of S3, Google Cloud Storage and Azure.

An address is literal, as in the stores' own tools: `%20` in a key is three characters.
S3 takes endpoint and keys from the settings; without keys, and for gs and az always, the library looks for the
machine's own credentials (role, workload identity, the variables of AWS, Google and Azure).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from cutstream.errors import (
    ConfigurationError,
    FileTooLarge,
    RefusedAddress,
    SourceFailed,
    SourceUnavailable,
    StoreUnavailable,
)
from cutstream.settings import ObjectSettings

SCHEMES = ("s3", "gs", "az")
# Names and endpoints are checked here: what they are put into panics on some that are not well-formed.
_BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?")

# What each of obstore's exceptions means at a source, and at a destination.
MEANING: dict[type[Exception], tuple[type[Exception], type[Exception]]] = {
    FileNotFoundError: (SourceFailed, PermissionError),  # at a destination it is the bucket that is missing
    ValueError: (RefusedAddress, RefusedAddress),  # a key that obstore cannot name
    exceptions.NotFoundError: (SourceFailed, PermissionError),
    exceptions.InvalidPathError: (RefusedAddress, RefusedAddress),
    exceptions.PermissionDeniedError: (SourceFailed, PermissionError),
    exceptions.UnauthenticatedError: (SourceFailed, PermissionError),
    exceptions.NotSupportedError: (SourceFailed, PermissionError),
    exceptions.AlreadyExistsError: (SourceUnavailable, StoreUnavailable),  # someone else is writing it right now
    exceptions.PreconditionError: (SourceUnavailable, StoreUnavailable),
    exceptions.NotModifiedError: (SourceUnavailable, StoreUnavailable),
    exceptions.GenericError: (SourceUnavailable, StoreUnavailable),  # time-outs, refused connections, 429, 5xx
    exceptions.JoinError: (SourceUnavailable, StoreUnavailable),
    exceptions.UnknownConfigurationKeyError: (ConfigurationError, ConfigurationError),
    exceptions.BaseError: (SourceUnavailable, StoreUnavailable),
}
_SOURCE, _DESTINATION = 0, 1


class Buckets:
    """obstore's clients, one per bucket and kept. Every call ends within `timeout_s`, and retrying is the caller's."""

    def __init__(self, settings: ObjectSettings, timeout_s: float) -> None:
        self._s3 = _s3_config(settings)
        self._client: Any = {
            "timeout": timedelta(seconds=timeout_s),
            "connect_timeout": timedelta(seconds=min(timeout_s, 5.0)),
            "allow_http": (settings.s3_endpoint or "").startswith("http://"),
        }
        self._open: Callable[[str, str], ObjectStore] = lru_cache(64)(self._opened)

    def get(self, uri: str, limit: int) -> bytes:
        """Raises RefusedAddress, SourceFailed, SourceUnavailable or FileTooLarge."""
        scheme, bucket, key = bucket_and_key(uri)
        with _translated(uri, _SOURCE):
            found = obstore.get(self._open(scheme, bucket), key)
            size = found.meta["size"]  # the declared length, which the HTTP client holds the body to
            if size > limit:
                raise FileTooLarge(f"{uri} has {size} bytes; at most {limit} are accepted")
            return bytes(found.bytes())

    def put(self, uri: str, data: bytes, media_type: str) -> None:
        """Raises StoreUnavailable, PermissionError (no access, or no such bucket) or RefusedAddress."""
        scheme, bucket, key = bucket_and_key(uri)
        with _translated(uri, _DESTINATION):
            # One PUT is atomic; an upload in parts that is cut off leaves parts behind that cost money.
            obstore.put(
                self._open(scheme, bucket), key, data, attributes={"Content-Type": media_type}, use_multipart=False
            )

    def _opened(self, scheme: str, bucket: str) -> ObjectStore:
        options: Any = {"client_options": self._client, "retry_config": {"max_retries": 0}}
        if scheme == "s3":
            return S3Store(bucket, config=self._s3, **options)
        return GCSStore(bucket, **options) if scheme == "gs" else AzureStore(bucket, **options)


def _s3_config(settings: ObjectSettings) -> Any:
    endpoint, key, secret = settings.s3_endpoint, settings.s3_access_key_id, settings.s3_secret_access_key
    if endpoint is not None and not _ENDPOINT.fullmatch(endpoint):
        raise ConfigurationError("CUTSTREAM_OBJECTS__S3_ENDPOINT has the form http(s)://host[:port]")
    config = {
        "region": settings.s3_region,
        "endpoint": endpoint,
        "access_key_id": key,
        "secret_access_key": secret.get_secret_value() if secret else None,
    }
    return {name: value for name, value in config.items() if value is not None}


def bucket_and_key(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and key. Raises RefusedAddress."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not _BUCKET_NAME.fullmatch(bucket):
        raise RefusedAddress(f"{uri} names no bucket; the form is scheme://bucket/key")
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        # The library would take them away, and the object would be another one than the address says.
        raise RefusedAddress(f"{uri} has an empty, . or .. part in its key")
    return scheme.lower(), bucket, key


@contextmanager
def _translated(uri: str, role: int) -> Iterator[None]:
    """`role` is the column of MEANING."""
    try:
        yield
    except tuple(MEANING) as exc:
        meaning = next(MEANING[kind] for kind in type(exc).__mro__ if kind in MEANING)
        raise meaning[role](f"{uri}: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    """The library's first words, on one line; a query may be a signature."""
    text = " ".join(str(exc).partition("\n\nDebug source")[0].split())
    return re.sub(r"\?\S+", "?…", text)[:300]
