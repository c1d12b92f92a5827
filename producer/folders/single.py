"""One photo to one file, as `cutstream cut photo.jpg cutout.png` does: in a temporary folder, then to its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from cutstream.errors import InvalidOption
from producer.folders.saving import OutputExists, OutputsNotWritten, name_problem
from producer.ledger import Job

SUFFIXES = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg", ".zip": "zip"}


def with_format_of(fields: Mapping[str, Any], target: str) -> dict[str, Any]:
    """Add the format that the extension of an output's name asks for. Raises InvalidOption."""
    if len(fields["outputs"]) > 1:
        raise InvalidOption(f"{len(fields['outputs'])} outputs do not fit into one file: name a folder for them")
    suffix, named = Path(target).suffix.lower(), fields.get("format", "auto")
    if target == "-":
        return dict(fields)
    if named != "auto":
        if SUFFIXES.get(suffix, named) != named:
            raise InvalidOption(f"{target!r} is to be {named}, but ends in {suffix}: change the name or the format")
        return dict(fields)
    if suffix not in SUFFIXES:
        raise InvalidOption(
            f"{target!r} does not end in {', '.join(SUFFIXES)}: choose one of these, or add / for a folder"
        )
    return {**fields, "format": SUFFIXES[suffix]}


def check_target(target: str, overwrite: bool) -> None:
    """Raise OutputExists if there is something already: it may be a photo that a pattern of the shell has named."""
    if target != "-" and os.path.lexists(target) and not overwrite:
        raise OutputExists(
            f"{target} is there already, and which photo it was made from is remembered for folders alone: remove it, "
            "name another file, or add --overwrite"
        )


def deliver(job: Job, folder: Path, target: str, stdout: BinaryIO) -> None:
    """Put the output of a job where it was wanted. Raises OutputsNotWritten."""
    made = folder / job.outputs[0]
    if target == "-":
        stdout.write(made.read_bytes())
        stdout.flush()
        return
    path = Path(target)
    unfinished = path.with_name(f".{token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as exc:
        with suppress(OSError):
            unfinished.unlink()
        raise OutputsNotWritten(f"{path}: {name_problem(exc)}") from exc
