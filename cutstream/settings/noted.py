"""What the local stack says of itself while it runs: a note in its state folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Any

from cutstream.settings.sections import ObjectSettings, StackSettings


def note_path(stack: StackSettings) -> Path:
    """Return where a running stack notes what its worker may read and write."""
    return stack.state / "allowed.json"


def read_note(stack: StackSettings) -> ObjectSettings | None:
    """Return what the worker of the running stack may read and write. None if no running stack has noted it."""
    try:
        with note_path(stack).open(encoding="utf-8") as note:
            if is_abandoned(note):
                return None
            return ObjectSettings.model_validate_json(note.read())
    except (OSError, ValueError):  # what is not a note is not JSON, not UTF-8, or of other fields
        return None


def runtime_folder() -> Path | None:
    """Return this user's folder for what running programs say of themselves. It need not exist.

    None: the account has no home, as in some containers.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = runtime if os.path.isabs(runtime) else os.path.expanduser("~/.cache")
    return Path(folder) / "cutstream" if os.path.isabs(folder) else None


def inbox_path(stack: StackSettings) -> Path:
    """Return the folder through which the stack's user lends photos to its worker."""
    return stack.state.absolute() / "inbox"


def inbox_of(stack: StackSettings, objects: ObjectSettings) -> Path | None:
    """Return the inbox of a stack whose worker may read and write what `objects` says. None if it is none of this."""
    inbox = inbox_path(stack)
    return inbox if inbox in objects.file_roots else None


def is_abandoned(note: IO[Any]) -> bool:
    """Tell whether the stack that wrote an open note has ended without removing it, because it was killed."""
    try:
        fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
