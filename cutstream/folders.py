"""Folders that a setting or an option names: what is wrong with one, in words that follow its name."""

from __future__ import annotations

import os
from pathlib import Path

from cutstream.errors import InvalidOption


def why_unreadable(folder: Path) -> str:
    """Return why files cannot be read from the folder, for instance `does not exist`. Empty if they can."""
    try:
        if not folder.is_dir():
            return "is not a folder" if folder.exists() else "does not exist"
    except OSError as exc:
        return f"cannot be looked at ({exc.strerror})"
    return "" if os.access(folder, os.R_OK | os.X_OK) else "may not be read by this user"


def why_unwritable(folder: Path) -> str:
    """Return why files cannot be written to the folder. Empty if they can.

    It need not exist: then the nearest one above that does must allow to make it.
    """
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            return f"cannot be made, because {existing} is not a folder" if existing != folder else "is not a folder"
    except OSError as exc:
        return f"cannot be looked at ({exc.strerror})"
    if os.access(existing, os.W_OK | os.X_OK):
        return ""
    return f"cannot be written, because this user may not write to {existing}"


def make_folder(option: str, folder: Path) -> None:
    """Make the folder that a command's option names, unless it is there. Raises InvalidOption."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InvalidOption(f"{option} {folder} cannot be made a folder: {exc.strerror}") from exc
