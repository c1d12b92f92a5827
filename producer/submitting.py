"""Turn what a person names on the command line into requests on the stream."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from cutstream.clients.kafka import OutgoingRecord, RecordWriter
from cutstream.contract.messages import decode_request, encode
from cutstream.errors import InvalidOption
from cutstream.settings import KafkaSettings

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp"})


def references(argument: str, lines: Iterable[str]) -> Iterator[str]:
    """A folder (searched through), a file, a glob pattern, an address, or `-` for one of these per line of `lines`.

    Raises InvalidOption when it names nothing.
    """
    if argument == "-":
        for line in filter(None, map(str.strip, lines)):
            yield from references(line, ())
    elif "://" in argument:
        yield argument
    else:
        yield from (path.absolute().as_uri() for path in _files(argument))


def submit_references(
    settings: KafkaSettings, references: Iterable[str], options: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Write one request per reference, each with the same `options`; yield its id and reference once it is written.

    Raises InvalidRequest before anything is written for a reference that makes no valid request.
    """
    writer = RecordWriter(settings)
    writer.start()
    try:
        for reference in references:
            id = request_id(reference)
            request = decode_request(json.dumps({"id": id, "image": reference, **options}).encode())
            writer.write([OutgoingRecord(settings.requests_topic, id.encode(), encode(request))])
            yield id, reference
    finally:
        writer.close()


def request_id(reference: str) -> str:
    """Readable and unique: the file's stem and eight random hex digits."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(reference.partition("?")[0]).stem)[:80].strip("-") or "image"
    return f"{stem}-{uuid4().hex[:8]}"


def request_fields(argument: str | None) -> dict[str, Any]:
    """Fields of a request from JSON, or from a file that holds it. Raises InvalidOption."""
    if argument is None:
        return {}
    text = argument if argument.lstrip().startswith("{") else _read(Path(argument).expanduser())
    try:
        fields = json.loads(text)
    except ValueError as exc:
        raise InvalidOption(f"--request is not JSON: {exc}") from exc
    if not isinstance(fields, dict):
        raise InvalidOption('--request: a JSON object is expected, such as {"shadow": "cast"}')
    if taken := {"id", "image"} & fields.keys():
        raise InvalidOption(f"--request: {' and '.join(sorted(taken))} differ for each photo and are made here")
    return fields


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidOption(f"--request: {path} is neither JSON nor a file that can be read: {exc}") from exc


def _files(argument: str) -> list[Path]:
    path = Path(argument).expanduser()
    if path.is_file():
        return [path]
    found = path.rglob("*") if path.is_dir() else map(Path, glob.glob(str(path), recursive=True))
    files = sorted(p for p in found if p.suffix.lower() in PICTURES and p.is_file())
    if not files:
        raise InvalidOption(
            f"{argument!r} names no pictures: give a folder, a file, a pattern such as 'photos/**/*.jpg', an address "
            "such as s3://bucket/photo.jpg, or - to read these from standard input"
        )
    return files
