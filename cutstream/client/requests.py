"""Turn a photo and options into a request, checked before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from cutstream.client.errors import PhotoUnreadable
from cutstream.clock import Clock
from cutstream.contract import building
from cutstream.contract.building import default_output
from cutstream.contract.messages import Request
from cutstream.contract.options import Address
from cutstream.errors import InvalidOption, RefusedAddress
from cutstream.redaction import redact

Photo: TypeAlias = "str | os.PathLike[str] | bytes"
"""A photo: an address such as `s3://bucket/shoe.jpg`, a file of this machine, or the bytes of a file."""

Source: TypeAlias = "str | Path | bytes"
"""A photo, parsed: an address, an existing file, or bytes."""

_MAX_SHOWN = 300
_STAND_IN = "file:///photo"  # while the options are checked; whoever sends the request knows the photo's address


def source_of(photo: Photo) -> Source:
    """Tell an address from a file and from bytes.

    Raises PhotoUnreadable if there is no such file, and RefusedAddress for an address that no request can hold.
    """
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return bytes(photo)
    if isinstance(photo, str) and "://" in photo:
        return _checked_address(photo)
    if not isinstance(photo, (str, os.PathLike)):
        raise PhotoUnreadable(f"a {type(photo).__name__} is no photo: give a photo's file, its address, or its bytes")
    named = _shown(os.fsdecode(photo))
    try:
        path = Path(os.fsdecode(photo)).expanduser()
        if path.is_file():
            return path.absolute()
        what = "a folder" if path.is_dir() else "no file of this machine"
    except OSError as exc:  # such as a folder above it that may not be searched, or a name that is too long
        raise PhotoUnreadable(f"{named} cannot be read: {exc.strerror}") from exc
    except (RuntimeError, ValueError) as exc:  # no such user behind ~, a NUL
        raise PhotoUnreadable(f"{named} cannot be read: {exc}") from exc
    raise PhotoUnreadable(f"{named} is {what}: give a photo's file, its address, or its bytes")


def check_several(photos: object) -> None:
    """Refuse one photo where several are asked for: a text would count as a list of letters. Raises InvalidOption."""
    if isinstance(photos, (str, bytes, bytearray, memoryview, os.PathLike)):
        raise InvalidOption("this takes a list of photos, or what yields them: put [ ] around one photo, or use `cut`")


def _checked_address(address: str) -> str:
    try:
        address.encode()
        return msgspec.convert(address, Address)
    except UnicodeEncodeError as exc:
        raise RefusedAddress(f"{_shown(address)} is not UTF-8: correct the address") from exc
    except msgspec.ValidationError as exc:
        raise RefusedAddress(f"{_shown(redact(address))}: {exc}") from exc


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def make_request(photo: Photo, options: Mapping[str, Any], clock: Clock) -> Request:
    """Return a request with an id of its own, unless the options have one. Its `image` is still a stand-in.

    Raises InvalidRequest or InvalidOption, whose message names the option, for what a worker would refuse.
    """
    if reserved := sorted({"image", "replay"} & options.keys()):
        raise InvalidOption(f"`{reserved[0]}` is no option: the photo is the first argument, and a client replays none")
    fields = {name: value for name, value in options.items() if value is not None}
    fields.setdefault("outputs", default_output(fields))
    if isinstance(outputs := fields.get("outputs"), str):
        fields["outputs"] = [outputs]
    if isinstance(background := fields.get("background"), str):
        fields["background"] = {"color": background}
    if isinstance(deadline := fields.get("deadline"), timedelta):
        fields["deadline"] = datetime.fromtimestamp(clock.wall(), timezone.utc) + deadline
    name = "photo" if isinstance(photo, (bytes, bytearray, memoryview)) else str(photo)
    return building.make_request({"id": building.make_request_id(name), **fields}, _STAND_IN)
