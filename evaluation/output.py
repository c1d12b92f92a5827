"""Write reports and folders of images completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from cutstream.errors import InvalidOption

SCATTER, WORST = "scatter.png", "worst"
EVALUATION_OUTPUTS = frozenset({SCATTER, WORST})


def check_targets(
    json_file: Path | None, out_folder: Path | None, replaceable: Collection[str] = EVALUATION_OUTPUTS
) -> None:
    """Raise InvalidOption, before the work begins, if its outputs could not be written.

    The folder may hold nothing but the names in `replaceable`, since it will be replaced.
    """
    if json_file is not None and json_file.is_dir():
        raise InvalidOption(f"--json {json_file} is a folder: name a file in it")
    if out_folder is None:
        return
    if out_folder.exists() and not out_folder.is_dir():
        raise InvalidOption(f"--out {out_folder} is a file: name a folder")
    if foreign := sorted(path.name for path in out_folder.glob("*") if path.name not in replaceable):
        raise InvalidOption(
            f"--out {out_folder} would be replaced, but it holds {foreign[0]}, which no evaluation made: name a folder "
            "that is new, empty or left by an earlier evaluation"
        )


def write_file(path: Path, data: bytes) -> None:
    """Write a file at once: a reader sees the old content or the new. Raises InvalidOption if it cannot be written."""
    with _named_write_errors(path), TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        part.write_bytes(data)
        part.replace(path)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it replaces `path` when the block ends without an error."""
    path = path.absolute()
    with _named_write_errors(path), TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as beside:
        fresh, old = Path(beside) / "new", Path(beside) / "old"
        fresh.mkdir()
        yield fresh
        if path.exists():
            path.rename(old)
        os.rename(fresh, path)
        rmtree(old, ignore_errors=True)


@contextmanager
def _named_write_errors(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as exc:
        raise InvalidOption(f"{path} cannot be written: {exc.strerror or exc}. Name another path") from exc
