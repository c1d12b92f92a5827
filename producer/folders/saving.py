"""Write outputs into the user's folder: whole files only, and never over a file of somebody else's."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from stat import S_ISREG

from cutstream.contract.messages import Result, StoredObject
from cutstream.errors import CutstreamError
from producer.folders.inbox import Inbox, path_in
from producer.folders.naming import output_name
from producer.folders.walking import MARK, is_file_of
from producer.ledger import Job, Outcome, Stamp

_EXTENSIONS = {"image/png": "png", "image/webp": "webp", "image/jpeg": "jpg", "application/zip": "zip"}
# Errors that hit every photo: the command ends. The others are about one name, and fail that photo alone.
_OF_THE_FOLDER = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOENT,
}


class OutputsNotWritten(CutstreamError):
    """The folder for the outputs cannot be written: the disk is full, or this user may not.

    Do what the message says and run the same command again: it goes on where it stopped.
    """

    code = "outputs_not_written"


class OutputGone(CutstreamError):
    """The result of a photo names an output that is not there any more: somebody has removed it.

    Run the same command again: it does the photo again.
    """

    code = "output_gone"


class Saver:
    """Puts the outputs of results into a folder. Thread-safe.

    `fetch` reads an output by its address. With an inbox, outputs are moved from there. With `overwrite`, files that no
    command has written here before are replaced; otherwise their photos fail with `output_exists`.
    """

    def __init__(
        self, folder: Path, fetch: Callable[[str], bytes], inbox: Inbox | None = None, overwrite: bool = False
    ) -> None:
        self._folder = folder
        self._fetch = fetch
        self._inbox = inbox
        self._overwrite = overwrite
        self._unfinished = folder / MARK / "unfinished"

    def open(self) -> None:
        """Make the folders, and remove what a killed command has left unfinished. Raises OutputsNotWritten."""
        try:
            shutil.rmtree(self._unfinished, ignore_errors=True)
            self._unfinished.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise _not_written(self._folder, exc) from exc

    def intended(self, job: Job, result: Result) -> dict[str, str]:
        """Return what saving this result will write: paths, each with the SHA-256 of the file."""
        is_only = len(result.objects) == 1
        return {_name_of(job, stored, is_only): stored.sha256 for stored in result.objects}

    def __call__(self, job: Job, result: Result) -> Outcome:
        """Save the outputs of a result, if it has some.

        Raises OutputsNotWritten. Then the outputs stay where they are, and the next command saves them.
        """
        outcome = self._outcome(job, result)
        if self._inbox is not None:
            self._inbox.forget(job.source, job.id)
        return outcome

    def _outcome(self, job: Job, result: Result) -> Outcome:
        try:
            if result.error is not None:
                return Outcome(job.id, result.replay, "failed", result.error.code, result.error.message)
            names = [self._save(job, stored, len(result.objects) == 1) for stored in result.objects]
            stamps = tuple(stamp_of(self._folder / name) or (0, 0) for name in names)
            return Outcome(job.id, result.replay, "ok", outputs=tuple(names), stamps=stamps)
        except CutstreamError as exc:
            if isinstance(exc, OutputsNotWritten):
                raise
            return Outcome(job.id, result.replay, "failed", exc.code, str(exc))

    def _save(self, job: Job, stored: StoredObject, is_only: bool) -> str:
        name = _name_of(job, stored, is_only)
        target = self._folder / name
        try:
            if os.path.lexists(target) and digest_of(target) != stored.sha256:
                self._refuse_foreign(job, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._place(stored, target)
        except OSError as exc:
            if exc.errno in _OF_THE_FOLDER:
                raise _not_written(target, exc) from exc
            raise OutputExists(f"{target}: {exc.strerror}") from exc
        return name

    def _refuse_foreign(self, job: Job, name: str) -> None:
        """Raise OutputExists unless what is there is an earlier output of this photo, as it was written.

        Not even with `overwrite` may an output replace its own photo.
        """
        if is_file_of(job.source, self._folder / name):
            raise OutputExists(f"{self._folder / name} is the photo itself: name another folder for the outputs")
        if (self._folder / name).is_dir():
            raise OutputExists(f"{self._folder / name} is a folder: move it, or name another folder for the outputs")
        if not self._overwrite and digest_of(self._folder / name) not in job.written.get(name, ()):
            known = "was changed since this command wrote it" if name in job.written else "is not this command's"
            raise OutputExists(f"{self._folder / name} is there already, and {known}: move it, or add --overwrite")

    def check_free(self, job: Job, outputs: Sequence[str], extension: str) -> None:
        """Raise OutputExists, before any work is done, if an output with this extension could not be written."""
        for output in outputs:
            name = output_name(job.stem or "", output, extension, len(outputs) == 1)
            if os.path.lexists(self._folder / name):
                self._refuse_foreign(job, name)

    def _place(self, stored: StoredObject, target: Path) -> None:
        if self._inbox is not None and self._inbox.owns(stored.uri):
            source = path_in(stored.uri)
            if not source.exists():
                if digest_of(target) == stored.sha256:
                    return  # a command that was killed has moved it
                raise OutputGone(f"{source} is not there any more: run the same command again")
            try:
                os.replace(source, target)
                return
            except OSError as exc:
                if exc.errno != errno.EXDEV:
                    raise
            data = source.read_bytes()
        else:
            data = self._fetch(stored.uri)
        self.write(data, target)

    def write(self, data: bytes, target: Path) -> None:
        """Write a file so that it is whole or not there, also after a power cut. Raises OSError."""
        unfinished = self._unfinished / f"{token_hex(8)}.part"
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise


class OutputExists(CutstreamError):
    """An output was not written because a file of somebody else's is in its place, or its name cannot be used.

    Move that file, or add `--overwrite`.
    """

    code = "output_exists"


def are_there(folder: Path, job: Job) -> bool:
    """Tell whether the outputs of a job that is done are still where it has left them, and as it has left them."""
    stamps = job.stamps or (None,) * len(job.outputs)
    return bool(job.outputs) and all(
        _is_unchanged(folder / name, stamp, job.written.get(name, ()))
        for name, stamp in zip(job.outputs, stamps, strict=True)
    )


def _is_unchanged(path: Path, noted: Stamp | None, digests: Sequence[str]) -> bool:
    """Tell whether a file is the one that was noted. It is read only if it has another time, as a copy has."""
    found = stamp_of(path)
    if found is None or found[0] == 0:
        return False
    if noted is None or found == noted:
        return True
    return found[0] == noted[0] and digest_of(path) in digests


def stamp_of(path: Path) -> Stamp | None:
    """Return the size of a file in bytes and its time of change in ns. None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if S_ISREG(status.st_mode) else None


def _name_of(job: Job, stored: StoredObject, is_only: bool) -> str:
    assert job.stem is not None
    return output_name(job.stem, stored.output, _EXTENSIONS.get(stored.media_type, "bin"), is_only)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Empty for what is no file."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def name_problem(exc: OSError) -> str:
    """Return why a file could not be written, with what to do."""
    known = {
        errno.ENOSPC: "no space is left on the disk: make room",
        errno.EDQUOT: "the quota of this user is used up: make room",
        errno.EFBIG: "a limit on the size of files is reached (`ulimit -f`): raise it",
        errno.EACCES: "this user may not write there: name another folder",
        errno.EPERM: "this user may not write there: name another folder",
        errno.EROFS: "the disk is read-only: name another folder",
    }
    return known.get(exc.errno or 0, str(exc.strerror))


def _not_written(path: Path, exc: OSError) -> OutputsNotWritten:
    return OutputsNotWritten(f"{path}: {name_problem(exc)}. The same command then goes on where this one stopped")
