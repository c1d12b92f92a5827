"""Build requests from what people and programs give, and refuse what a worker would refuse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from cutstream.compositing.specs import OutputName
from cutstream.contract.messages import Request, decode_request
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import InvalidOption

_SCENE_FIELDS = frozenset({"background", "shadow", "harmonise"})


def make_request(fields: Mapping[str, Any], image: str) -> Request:
    """Return a request with these fields, unless a worker would refuse it whatever the photo is.

    Raises InvalidRequest or InvalidOption.
    """
    request = decode_request(_json({"image": image, **fields}))
    _check_options(request)
    return request


def make_request_id(reference: str) -> str:
    """Return a readable and unique id: the file's stem and eight random hex digits."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(reference.partition("?")[0]).stem)[:80].strip("-") or "image"
    return f"{stem}-{uuid4().hex[:8]}"


def default_output(fields: Mapping[str, Any]) -> OutputName:
    """Return what is meant by fields without `outputs`: the composite if they describe a scene, else the cutout.

    The worker would refuse options that no output shows.
    """
    return "cutout" if _SCENE_FIELDS.isdisjoint(fields) else "composite"


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError as exc:
        wrong = exc.object[exc.start : exc.end]
        raise InvalidOption(f"the address or an option has {wrong!r}, which is not UTF-8: correct it") from exc
    except TypeError as exc:
        raise InvalidOption(f"an option has a value that no request can hold: {exc}") from exc


def _check_options(request: Request) -> None:
    """Refuse what the worker would refuse. The names of a deployment's own presets are known to it alone."""
    named = isinstance(request.refine, str)
    parse_recipe(msgspec.structs.replace(request, refine="soft") if named else request)
