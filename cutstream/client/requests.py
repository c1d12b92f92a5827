"""Turn a photo and options into a request, checked before anything is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import msgspec

from cutstream.clock import Clock
from cutstream.contract.messages import Request, decode_request
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import InvalidOption

Photo: TypeAlias = "str | os.PathLike[str] | bytes"
"""A photo: an address such as `s3://bucket/shoe.jpg`, a file of this machine, or the bytes of a file."""

Source: TypeAlias = "str | Path | bytes"
"""A photo, parsed: an address, an existing file, or bytes."""

_SCENE_FIELDS = frozenset({"background", "shadow", "harmonise"})
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
    if "outputs" not in fields and not _SCENE_FIELDS.isdisjoint(fields):
        fields["outputs"] = ["composite"]
    if isinstance(outputs := fields.get("outputs"), str):
        fields["outputs"] = [outputs]
    if isinstance(background := fields.get("background"), str):
        fields["background"] = {"color": background}
    if isinstance(deadline := fields.get("deadline"), timedelta):
        fields["deadline"] = datetime.fromtimestamp(clock.wall(), timezone.utc) + deadline
    request = decode_request(_json({"id": make_id(source), "image": _STAND_IN, **fields}))
    _check_options(request)
    return request


def make_id(source: Source) -> str:
    """Return a readable and unique id: the stem of the file's name and eight random hex digits."""
    name = "photo" if isinstance(source, bytes) else str(source).partition("?")[0]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem)[:80].strip("-") or "photo"
    return f"{stem}-{uuid4().hex[:8]}"


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError as exc:
        wrong = exc.object[exc.start : exc.end]
        raise InvalidOption(f"an option has {wrong!r}, which is not UTF-8: correct it") from exc
    except TypeError as exc:
        raise InvalidOption(f"an option has a value that no request can hold: {exc}") from exc


def _check_options(request: Request) -> None:
    """Refuse what the worker would refuse. The names of a deployment's own presets are known to it alone."""
    named = isinstance(request.refine, str)
    parse_recipe(msgspec.structs.replace(request, refine="soft") if named else request)
