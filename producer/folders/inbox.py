"""Lend a photo to a worker that may not read its folder, and take the outputs back.

The local stack has an inbox: a folder in its state folder that only its user reaches, and that its worker may read and
write. A photo is linked there, or copied from another file system, and removed again once its result is there. Outputs
are stored there, too, and moved from there: a rename, within one file system.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from cutstream.clients.objects.files import path_of, uri_of
from cutstream.errors import SourceFailed


class Inbox:
    """One ledger's part of an inbox. `token` names it, and it is hard to guess."""

    def __init__(self, folder: Path, token: str) -> None:
        self._photos = folder / token / "photos"
        self._outputs = folder / token / "outputs"

    def open(self) -> None:
        for folder in (self._photos, self._outputs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def destination(self) -> str:
        """The address that requests name for their outputs."""
        return uri_of(str(self._outputs))

    def lend(self, path: str, id: str) -> str:
        """Make a photo readable to the worker. Return its address there. Raises SourceFailed."""
        there = str(self._lent(path, id))
        try:
            with suppress(FileNotFoundError):
                os.unlink(there)
            try:
                os.link(os.path.realpath(path), there)
            except OSError:  # another file system, or the file of another user
                shutil.copyfile(path, there)
        except OSError as exc:
            raise SourceFailed(f"{path}: {exc.strerror}") from exc
        return uri_of(there)

    def owns(self, uri: str) -> bool:
        """Tell whether an output lies in this inbox."""
        return uri.startswith(f"{self.destination}/")

    def forget(self, source: str, id: str) -> None:
        """Remove what was lent of a photo, which is named by its address, and what is left of its outputs."""
        if source.startswith("file://"):
            self._lent(path_of(source), id).unlink(missing_ok=True)
        outputs = self._outputs / id
        try:
            outputs.rmdir()  # usually they are gone
        except OSError:
            shutil.rmtree(outputs, ignore_errors=True)

    def _lent(self, path: str, id: str) -> Path:
        return self._photos / (id + os.path.splitext(path)[1].lower())

    def close(self) -> None:
        """Remove the folders if nothing is left in them: what is may belong to requests that are on their way."""
        with suppress(OSError):
            self._photos.rmdir()
            self._outputs.rmdir()
            self._photos.parent.rmdir()


def path_in(uri: str) -> Path:
    return Path(path_of(uri))
