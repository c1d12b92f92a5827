"""What comes back for a photo: its result, and its outputs as bytes or files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias, TypeVar
from uuid import uuid4

from cutstream.client.errors import OutputNotSaved, OutputUnavailable, PhotoFailed
from cutstream.client.requests import Photo
from cutstream.compositing.specs import OutputName
from cutstream.contract import messages
from cutstream.contract.ids import folder_of
from cutstream.contract.messages import ErrorDetail, Status, StoredObject, WarningDetail
from cutstream.errors import InvalidOption

Bytes: TypeAlias = bytes  # `Result` has a property of this name
Read = Callable[[StoredObject], bytes]
SomeResult = TypeVar("SomeResult", bound="ResultDetails")

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "application/zip": ".zip"}
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"} | {
    ".zip": "application/zip"
}


class ResultDetails:
    """What a result says about a photo. It has outputs exactly when `ok` is true."""

    def __init__(self, id: str, photo: Photo, details: messages.Result, read: Read) -> None:
        self.id = id
        """The id of the handle."""
        self.photo = photo
        """The photo as it was given to the client."""
        self.details = details
        """The whole result as the worker wrote it (docs/topics.md)."""
        self._read = read

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    @property
    def status(self) -> Status:
        """`ok`, `failed`, `expired` or `cancelled`."""
        return self.details.status

    @property
    def ok(self) -> bool:
        return self.details.status == "ok"

    @property
    def error(self) -> ErrorDetail | None:
        """Why there are no outputs. None if there are."""
        return self.details.error

    @property
    def warnings(self) -> tuple[WarningDetail, ...]:
        """What the outputs do not show as expected, because of the photo's file."""
        return self.details.warnings

    @property
    def outputs(self) -> tuple[StoredObject, ...]:
        """The outputs, in the order of the request: their names, sizes, media types, digests and addresses."""
        return self.details.objects

    def raise_for_status(self: SomeResult) -> SomeResult:
        """Raise PhotoFailed if there are no outputs. Return the result itself otherwise."""
        if self.error is not None:
            raise PhotoFailed(self.id, self.details)
        return self

    def _output(self, name: OutputName | None) -> StoredObject:
        self.raise_for_status()
        names = [output.output for output in self.outputs]
        if name is None and len(names) > 1:
            raise InvalidOption(f"{self.id} has several outputs: name one of {', '.join(names)}")
        for output in self.outputs:
            if name in (None, output.output):
                return output
        raise InvalidOption(f"{self.id} has no output {name!r}; it has {', '.join(names)}")

    def _checked(self, output: StoredObject) -> bytes:
        data = self._read(output)
        if len(data) != output.bytes or sha256(data).hexdigest() != output.sha256:
            raise OutputUnavailable(
                f"{self.id}: the {output.output} has {len(data)} bytes that are not those that were stored: something "
                "has replaced or damaged the object"
            )
        return data

    def _save(self, path: str | os.PathLike[str], name: OutputName | None) -> Path:
        output, path = self._output(name), Path(path)
        expected = _TYPES.get(path.suffix.lower())
        if expected not in (None, output.media_type):
            raise InvalidOption(
                f"the {output.output} of {self.id} is {output.media_type}: call the file "
                f"{path.with_suffix(_SUFFIXES.get(output.media_type, '')).name}, or ask for another `format`"
            )
        return _write(path, self._checked(output))

    def _save_all(self, folder: str | os.PathLike[str]) -> list[Path]:
        self.raise_for_status()
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise _not_saved(Path(folder), exc) from exc
        stem = folder_of(self.id)
        return [
            _write(Path(folder) / f"{stem}-{o.output}{_SUFFIXES.get(o.media_type, '')}", self._checked(o))
            for o in self.outputs
        ]


class Result(ResultDetails):
    """The result of a photo. Its outputs are read when they are asked for, each time anew.

    Reading raises PhotoFailed if there are no outputs, and OutputUnavailable if one cannot be read from here, or is not
    what the result says.
    """

    @property
    def bytes(self) -> Bytes:
        """The only output."""
        return self.read()

    def read(self, output: OutputName | None = None) -> Bytes:
        """Return an output, which has to be named if there are several."""
        return self._checked(self._output(output))

    def save(self, path: str | os.PathLike[str], output: OutputName | None = None) -> Path:
        """Write an output to a file, over an existing one, and return its path.

        Raises InvalidOption if the file's name says another format than that of the output, and OutputNotSaved, an
        OSError, if the file cannot be written.
        """
        return self._save(path, output)

    def save_all(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write all outputs into a folder, which is made if it is missing, as `<id>-<output>.<extension>`.

        Raises OutputNotSaved, an OSError.
        """
        return self._save_all(folder)


class AsyncResult(ResultDetails):
    """The result of a photo, whose outputs are read without blocking the event loop. Otherwise like Result."""

    async def read(self, output: OutputName | None = None) -> bytes:
        """Return an output, which has to be named if there are several."""
        return await asyncio.to_thread(self._checked, self._output(output))

    async def save(self, path: str | os.PathLike[str], output: OutputName | None = None) -> Path:
        """Write an output to a file, over an existing one, and return its path.

        Raises InvalidOption if the file's name says another format than that of the output, and OutputNotSaved, an
        OSError, if the file cannot be written.
        """
        return await asyncio.to_thread(self._save, path, output)

    async def save_all(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write all outputs into a folder, which is made if it is missing, as `<id>-<output>.<extension>`.

        Raises OutputNotSaved, an OSError.
        """
        return await asyncio.to_thread(self._save_all, folder)


def _write(path: Path, data: bytes) -> Path:
    unfinished = path.with_name(f".{uuid4().hex[:16]}.part")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError as exc:
        with suppress(OSError):  # it may not have been made
            unfinished.unlink()
        raise _not_saved(path, exc) from exc
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return path


def _not_saved(path: Path, exc: OSError) -> OutputNotSaved:
    if isinstance(exc, FileNotFoundError):
        why = f"there is no folder {str(path.parent)!r}. Make it first"
    else:
        why = f"{'it is a folder' if path.is_dir() else exc.strerror or exc}. Name another place, with room for it"
    return OutputNotSaved(f"{str(path)!r} cannot be written: {why}")
