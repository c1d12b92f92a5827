"""The size of a request's record: how large it may be, and what is kept of one that is larger.

A result repeats the key and the labels of its request; a retry and a dead letter repeat everything. With this limit
each of them fits a topic with Kafka's default `max.message.bytes` of 1 MiB, whatever the worker adds. So no request
leads to a record that Kafka refuses.
"""

from __future__ import annotations

from typing import TypeAlias

from cutstream.contract.envelope import Headers
from cutstream.contract.redelivery import without_redelivery
from cutstream.errors import RequestTooLarge

MAX_REQUEST_BYTES = 512 * 1024

_KEPT_KEY_BYTES = 64 * 1024
_HISTORY_BYTES = 4 * 1024  # more than the history of a retry has
HEADER_BYTES = 10  # at most, for the lengths of a name and of a value

Parts: TypeAlias = tuple[bytes | None, bytes, Headers]


def size_of(key: bytes | None, value: bytes, headers: Headers) -> int:
    """Return the bytes of a record's key, value and headers, uncompressed. A header counts 10 more, for its lengths."""
    return len(key or b"") + len(value) + sum(map(_header_size, headers))


def check_size(key: bytes | None, value: bytes, headers: Headers) -> None:
    """Raise RequestTooLarge for a request that no worker accepts. The history of a retry does not count."""
    size = size_of(key, value, without_redelivery(headers))
    if size > MAX_REQUEST_BYTES:
        raise RequestTooLarge(
            f"the request has {size} bytes (key, value and headers, uncompressed, each header with {HEADER_BYTES} for "
            f"its lengths); at most {MAX_REQUEST_BYTES} are accepted"
        )


def cut(key: bytes | None, value: bytes, headers: Headers) -> Parts | None:
    """Return what is kept of a record that is too large: about MAX_REQUEST_BYTES. Return None if it is not.

    A key of more than 64 KiB is left out, and so are the headers that do not fit. The value loses its end.
    """
    if size_of(key, value, headers) <= MAX_REQUEST_BYTES + _HISTORY_BYTES:
        return None
    kept_key = key if len(key or b"") <= _KEPT_KEY_BYTES else None
    room, kept = MAX_REQUEST_BYTES - len(kept_key or b""), []
    for header in headers:
        if (size := _header_size(header)) <= room:
            kept.append(header)
            room -= size
    return kept_key, value[:room], kept


def _header_size(header: tuple[str, bytes]) -> int:
    name, value = header
    return len(name.encode(errors="surrogatepass")) + len(value) + HEADER_BYTES
