"""The gateway's folder: one process at a time uses it, and no other user may write to it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cutstream.errors import ConfigurationError
from cutstream.ownership import why_planted, why_shared
from cutstream.settings import about


class State:
    """A locked state folder. `spool` is for uploads that are being received, `uploads` for those that wait there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.uploads = folder / "uploads"
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder and lock it. Raises ConfigurationError if others could change it or use it already."""
        if problem := why_shared(self.folder) or why_planted(self.folder):
            raise ConfigurationError(about("gateway", "state", problem))
        try:
            # Others pass through on their way to an upload whose name they know, and see no list of names.
            for folder in (self.folder, self.spool, self.uploads):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o711)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigurationError(about("gateway", "state", f"{self.folder} cannot be used: {exc}")) from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise ConfigurationError(
                about("gateway", "state", f"another gateway uses {self.folder}: name another folder, or stop it")
            ) from exc
        for unfinished in self.spool.glob("*.part"):
            unfinished.unlink(missing_ok=True)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
