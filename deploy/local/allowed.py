"""What the stack's worker may read and write, noted for commands in other terminals: their settings may differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from cutstream.settings import ObjectSettings, StackSettings

_NOTED = {"destination", "file_roots", "allowed_hosts", "allowed_buckets", "allow_private_addresses"}  # no secrets


@contextmanager
def noted(objects: ObjectSettings, stack: StackSettings) -> Iterator[None]:
    """Keep a note in the state folder inside the block."""
    destination = objects.destination
    absolute = {
        "file_roots": tuple(root.absolute() for root in objects.file_roots),
        "destination": destination if "://" in destination else str(Path(destination).absolute()),
    }
    note = _path(stack)
    note.write_text(objects.model_copy(update=absolute).model_dump_json(include=_NOTED), encoding="utf-8")
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def read_note(stack: StackSettings) -> ObjectSettings | None:
    """Return what the worker of the running stack may read and write. None if no stack has noted it."""
    try:
        return ObjectSettings.model_validate_json(_path(stack).read_bytes())
    except (OSError, ValidationError):
        return None


def _path(stack: StackSettings) -> Path:
    return stack.state / "allowed.json"
