"""The catalogue of backgrounds, which is a Kafka topic: the format of its records and how they change the catalogue.

The key of a record is the name of a background. The last record of a name counts. A record without a value removes the
name.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from cutstream.contract.messages import DECODE_ERRORS
from cutstream.contract.reading.validation import explain
from cutstream.errors import InvalidOption

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_IN_ADDRESSES = re.compile(r"[/\\:?#@%&=;+]")

Count = Annotated[int, Meta(ge=1)]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in the catalogue. An object never changes: a new picture under the same name has another `uri`."""

    uri: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits in lower case")]
    bytes: Count
    width: Count
    height: Count
    added: Annotated[datetime, Meta(tz=True)]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def is_address(image: str) -> bool:
    """Return whether `background.image` is an address, or was meant to be. Otherwise it is a name in the catalogue.

    An address without its scheme (`host/beach.jpg?signature=…`) must not count as a name: messages quote names.
    """
    return _IN_ADDRESSES.search(image) is not None


def check_name(name: str) -> None:
    """Check a name for a background. Raises InvalidOption."""
    if not NAME.fullmatch(name):
        raise InvalidOption(
            f"{name!r} is not a valid name for a background: use 1 to 100 letters, digits and any of . _ -"
        )


def encode(entry: Entry) -> bytes:
    """Encode an entry as the value of a record."""
    return _encoder.encode(entry)


def apply(entries: dict[str, Entry], key: bytes | None, value: bytes) -> None:
    """Apply a record of the topic to `entries`. A record that is not valid is logged and changes nothing."""
    try:
        name = (key or b"").decode("ascii")
        check_name(name)
        if value:
            entries[name] = _decoder.decode(value)
        else:
            entries.pop(name, None)
    except (*DECODE_ERRORS, InvalidOption) as exc:
        problem = explain(exc, Entry) if isinstance(exc, msgspec.ValidationError) else exc
        log.warning("background catalogue: skipped the record with key %.100r: %s", key, problem)
