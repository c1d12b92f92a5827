"""Turn a photo and options into a request, checked before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeAlias

from cutstream.clock import Clock
from cutstream.contract import building
from cutstream.contract.building import default_output
from cutstream.contract.messages import Request
from cutstream.errors import InvalidOption

Photo: TypeAlias = "str | os.PathLike[str] | bytes"
"""A photo: an address such as `s3://bucket/shoe.jpg`, a file of this machine, or the bytes of a file."""

Source: TypeAlias = "str | Path | bytes"
"""A photo, parsed: an address, an existing file, or bytes."""

_STAND_IN = "file:///photo"  # while the options are checked; whoever sends the request knows the photo's address


def source_of(photo: Photo) -> Source:
    """Tell an address from a file and from bytes. Raises InvalidOption if there is no such file."""
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return bytes(photo)
    if isinstance(photo, str) and "://" in photo:
        return photo
    path = Path(photo).expanduser()
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file of this machine"
        raise InvalidOption(f"{str(photo)!r} is {what}: give a photo's file, its address, or its bytes")
    return path.absolute()


def make_request(source: Source, options: Mapping[str, Any], clock: Clock) -> Request:
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
    name = "photo" if isinstance(source, bytes) else str(source)
    return building.make_request({"id": building.make_request_id(name), **fields}, _STAND_IN)
