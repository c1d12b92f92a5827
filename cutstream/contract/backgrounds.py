"""The catalogue of backgrounds: what a record of its topic says, and what the whole topic comes to.

The record's key is the name. The last record of a name counts, and one without a value removes it.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from cutstream.contract.messages import BROKEN
from cutstream.errors import InvalidOption

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")

Count = Annotated[int, Meta(ge=1)]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of the catalogue. Never changed in place: another picture of the same name has another `uri`."""

    uri: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Count
    width: Count
    height: Count
    added: Annotated[datetime, Meta(tz=True)]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def is_address(image: str) -> bool:
    """Whether `background.image` is an address; otherwise it is a name of the catalogue."""
    return "://" in image


def check_name(name: str) -> None:
    """Raises InvalidOption."""
    if not NAME.fullmatch(name):
        raise InvalidOption(f"{name!r} is no name for a background: use 1 to 100 letters, digits and any of . _ -")


def encode(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def apply(entries: dict[str, Entry], key: bytes | None, value: bytes) -> None:
    """Changes `entries` by one record of the topic; one that is none of ours is logged and changes nothing."""
    try:
        name = (key or b"").decode("ascii")
        check_name(name)
        if value:
            entries[name] = _decoder.decode(value)
        else:
            entries.pop(name, None)
    except (*BROKEN, InvalidOption) as exc:
        log.warning("background catalogue: the record with key %r is passed over: %s", key, exc)
