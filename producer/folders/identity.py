"""The ids of requests: the same photo with the same options has the same id, and a changed photo another one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

_ESCAPES = re.compile(r"(%[0-9A-Fa-f]{2})+")
_OTHERS = re.compile(r"[^A-Za-z0-9._]+")
_SHOWN_CHARACTERS = 60
_DIGITS = 20  # 80 bits: among a billion photos two share an id with a probability of one in two million
_NOT_OPTIONS = ("labels", "destination", "deadline")


def options_digest(fields: Mapping[str, Any], ledger: str = "") -> str:
    """Return a digest of those request fields that the pictures depend on, and of the ledger that keeps the ids."""
    options = {name: value for name, value in fields.items() if name not in _NOT_OPTIONS}
    return sha256(json.dumps([options, ledger], sort_keys=True).encode()).hexdigest()[:16]


def request_id(source: str, version: str, options: str) -> str:
    """Return the id for a photo's address, its `version` and the digest of the options.

    The version changes with the photo: a file's size and time, or an object's tag. It is empty where nobody knows.
    """
    digest = sha256(os.fsencode("\0".join((source, version, options)))).hexdigest()[:_DIGITS]
    return f"{readable(source)}-{digest}"


def readable(source: str) -> str:
    """Return what can be read of a photo's name in an id: letters, digits, dots, dashes. `photo` if nothing."""
    stem = PurePosixPath(source.partition("?")[0].rpartition("/")[2]).stem
    return _OTHERS.sub("-", _ESCAPES.sub("-", stem))[:_SHOWN_CHARACTERS].strip("-.") or "photo"
