"""The inbox of the local stack: a folder through which commands lend photos to the worker.

The worker may read the folders of CUTSTREAM_OBJECTS__FILE_ROOTS, which are the operator's choice and may be none. The
inbox lies in the state folder, where only the stack's user can put anything; what is there is what this user has named
on a command line.
"""

from __future__ import annotations

from pathlib import Path

from cutstream.settings import ObjectSettings, Settings, StackSettings
from deploy.local.state import private_folder


def with_inbox(settings: Settings) -> Settings:
    """Make the inbox, and return settings with which a worker may read and write it.

    Raises StackError if other users could reach it.
    """
    inbox = private_folder(_path(settings.stack))
    roots = tuple(dict.fromkeys((*settings.objects.file_roots, inbox)))
    return settings.model_copy(update={"objects": settings.objects.model_copy(update={"file_roots": roots})})


def inbox_of(stack: StackSettings, objects: ObjectSettings) -> Path | None:
    """Return the inbox of a stack whose worker may read and write what `objects` says. None if it is none of this."""
    inbox = _path(stack)
    return inbox if inbox in objects.file_roots else None


def _path(stack: StackSettings) -> Path:
    return stack.state.absolute() / "inbox"
