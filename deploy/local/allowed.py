"""What the stack's worker may read and write, noted for commands in other terminals: their settings may differ."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cutstream.errors import StackError
from cutstream.settings import ObjectSettings, StackSettings, note_path, read_note
from deploy.local.state import is_own_file, open_unplanted

__all__ = ["noted", "read_note"]

_NOTED = {"destination", "file_roots", "allowed_hosts", "allowed_buckets", "allow_private_addresses"}  # no secrets


@contextmanager
def noted(objects: ObjectSettings, stack: StackSettings) -> Iterator[None]:
    """Keep a note in the state folder inside the block, and a lock on it: the lock ends with this process.

    Raises StackError if it cannot be written.
    """
    destination = objects.destination
    absolute = {
        "file_roots": tuple(root.absolute() for root in objects.file_roots),
        "destination": destination if "://" in destination else str(Path(destination).absolute()),
    }
    path = note_path(stack)
    with ExitStack() as cleanup:
        try:
            if path.is_file() and not is_own_file(path.stat()):
                raise OSError(errno.EEXIST, "it is no file of yours, or has another name, too")
            note = cleanup.enter_context(open(path, "wb", buffering=0, opener=open_unplanted))
            fcntl.flock(note, fcntl.LOCK_EX)
            note.write(objects.model_copy(update=absolute).model_dump_json(include=_NOTED).encode())
        except OSError as exc:
            raise StackError(
                f"{path} cannot be written ({exc.strerror}): remove it, or set CUTSTREAM_STACK__STATE"
            ) from exc
        cleanup.callback(path.unlink, missing_ok=True)
        yield
