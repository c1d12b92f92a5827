"""The ids of requests, and the folders that their outputs are stored in."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated

from msgspec import Meta

MAX_ID_CHARACTERS = 4096

_OWN_PATTERN = r"^(?!\.+$)[A-Za-z0-9._:@=+-]+(?!\n)$"
_MAX_OWN_CHARACTERS = 200
_OWN = re.compile(_OWN_PATTERN)
_OTHERS = re.compile(r"[^A-Za-z0-9._:@=+-]+")
_SHOWN_CHARACTERS = 80

# The id of a request is the name of its folder: it has no separators and is not `.` or `..`. `(?!\n)` is needed because
# `$` accepts a trailing newline.
RequestId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=_MAX_OWN_CHARACTERS,
        pattern=_OWN_PATTERN,
        description="letters, digits and any of . _ : @ = + -, but not dots alone",
    ),
]

# A result repeats its id, and so do its headers: with this limit they fit a record.
AnyId = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]


def folder_of(id: str) -> str:
    """Return the name of the folder for an id's outputs: of at most 200 characters that no store or address escapes.

    An id that a request may name is its own folder. Any other, such as a CloudEvent's `order/12`, becomes
    `order-12~<SHA-256 of the id>`. No two ids share a folder: `~` occurs in no id of the first kind.
    """
    if len(id) <= _MAX_OWN_CHARACTERS and _OWN.fullmatch(id):
        return id
    return f"{_OTHERS.sub('-', id)[:_SHOWN_CHARACTERS]}~{sha256(id.encode()).hexdigest()}"
