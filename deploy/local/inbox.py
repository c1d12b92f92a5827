"""The inbox of the local stack: a folder through which commands and clients lend photos to the worker.

The worker may read the folders of CUTSTREAM_OBJECTS__FILE_ROOTS, which are the operator's choice and may be none. The
inbox lies in the state folder, where only the stack's user can put anything; what is there is what this user has named
on a command line.
"""

from __future__ import annotations

from cutstream.settings import Settings, inbox_of, inbox_path
from deploy.local.state import private_folder

__all__ = ["inbox_of", "with_inbox"]


def with_inbox(settings: Settings) -> Settings:
    """Make the inbox, and return settings with which a worker may read and write it.

    Raises StackError if other users could reach it.
    """
    inbox = private_folder(inbox_path(settings.stack))
    roots = tuple(dict.fromkeys((*settings.objects.file_roots, inbox)))
    return settings.model_copy(update={"objects": settings.objects.model_copy(update={"file_roots": roots})})
