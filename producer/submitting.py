"""Turn the photos that a person names on the command line into requests on the stream."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from cutstream.clients.objects.files import uri_of
from cutstream.contract.addresses import parse_address
from cutstream.contract.building import default_output
from cutstream.contract.options import Address
from cutstream.errors import InvalidOption, InvalidRequest, RefusedAddress
from cutstream.settings import BUCKET_SCHEMES
from producer.folders.kinds import PHOTO_SUFFIXES

IMAGE_SUFFIXES = PHOTO_SUFFIXES
_WEB_USER = re.compile(r"\s*https?://[^/?#]*@", re.IGNORECASE)


def find_references(argument: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield the addresses of the photos that a command-line argument names.

    The argument is a folder (searched recursively), a file, a glob pattern, an address, or `-`, which reads one of
    these from each line of `lines`. Raises InvalidOption if it names no photo.
    """
    if argument == "-":
        for line in filter(None, map(str.strip, lines)):
            yield from find_references(line, ())
    elif not argument.strip():
        raise InvalidOption("no photo is named: give a folder, a file, a pattern, an address, or -")
    elif "://" in argument:
        yield argument
    else:
        yield from (path.absolute().as_uri() for path in _find_files(argument))


def checked_address(image: str) -> str:
    """Return the address of a photo if a request may have it. Raises InvalidRequest or RefusedAddress."""
    try:
        msgspec.convert(image, Address)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(f"`image`: {exc}") from exc
    parse_address(image, "image")
    if _WEB_USER.match(image):  # no worker would take it: it need not lie on the stream for others to read
        raise RefusedAddress("image: an address must not contain a user name or password")
    return image


def with_batch_label(fields: Mapping[str, Any], batch: str) -> dict[str, Any]:
    """Add the label `batch` to request fields, unless they have one, so that the batch can be called off as a whole."""
    labels = fields.get("labels") or {}
    return {**fields, "labels": {"batch": batch, **labels}} if isinstance(labels, dict) else dict(fields)


def make_batch_id() -> str:
    """Return the value of label `batch` for the requests of one command: eight random hex digits."""
    return uuid4().hex[:8]


def combine_fields(options: Mapping[str, Any], further: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a command's options (None if not given) with further request fields, which take precedence.

    If neither names `outputs`, the request asks for a composite if it has a background, a shadow or harmonising, and
    for a cutout otherwise: the worker refuses options that no output shows.
    """
    fields = {name: value for name, value in options.items() if value is not None} | dict(further)
    return {"outputs": [default_output(fields)], **fields}


def destination_of(argument: str) -> str:
    """Return the address of a destination that the command line names: itself, or that of a folder on this machine.

    Raises InvalidOption for what is neither. Whether workers may write there is their settings' business.
    """
    scheme, is_address, _ = argument.strip().partition("://")
    if not argument.strip():
        raise InvalidOption("--destination is blank: give a folder or an address")
    if not is_address:
        return uri_of(str(_expand_user(argument)))
    if scheme.lower() not in ("file", *BUCKET_SCHEMES):
        raise InvalidOption(
            f"--destination {argument!r}: give a folder, or an address that begins with file://, s3://, gs:// or az://"
        )
    return argument


def parse_request_fields(argument: str | None) -> dict[str, Any]:
    """Read request fields from a JSON object, or from a file that holds one. Raises InvalidOption."""
    if argument is None:
        return {}
    text = argument if argument.lstrip().startswith("{") else _read(_expand_user(argument))
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidOption(f"--request is not JSON: {exc}") from exc
    if not isinstance(fields, dict):
        raise InvalidOption('--request must be a JSON object, such as {"shadow": "cast"}')
    if reserved := {"id", "image"} & fields.keys():
        raise InvalidOption(
            f"--request: leave {' and '.join(sorted(reserved))} out: id and image differ for each photo, and this "
            "command sets them"
        )
    return fields


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidOption(f"--request: {path} is neither JSON nor a file that can be read: {exc}") from exc


def _expand_user(argument: str) -> Path:
    try:
        return Path(argument).expanduser()
    except RuntimeError as exc:  # no such user
        raise InvalidOption(f"{argument!r}: {exc}") from exc


def _find_files(argument: str) -> list[Path]:
    path = _expand_user(argument)
    if path.is_file():
        return [path]
    candidates = path.rglob("*") if path.is_dir() else map(Path, glob.glob(str(path), recursive=True))
    files = sorted(file for file in candidates if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    if not files:
        raise InvalidOption(
            f"{argument!r} names no photos: give a folder, a file, a pattern such as 'photos/**/*.jpg', an address "
            "such as s3://bucket/photo.jpg, or - to read these from standard input"
        )
    return files
