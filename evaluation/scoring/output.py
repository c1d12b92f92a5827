"""Leaves the report and the pictures whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from cutstream.errors import InvalidOption

SCATTER, WORST = "scatter.png", "worst"
OURS = frozenset({SCATTER, WORST})


def check_targets(json_file: Path | None, out_folder: Path | None, ours: Collection[str] = OURS) -> None:
    """Before the work: raises InvalidOption when what it yields, `ours` in the folder, could not be left there."""
    if json_file is not None and json_file.is_dir():
        raise InvalidOption(f"--json {json_file} is a folder: name a file in it")
    if out_folder is None:
        return
    if out_folder.exists() and not out_folder.is_dir():
        raise InvalidOption(f"--out {out_folder} is a file: name a folder")
    if foreign := sorted(path.name for path in out_folder.glob("*") if path.name not in ours):
        raise InvalidOption(
            f"--out {out_folder} holds {foreign[0]}, which no evaluation made, and would be replaced: name a folder "
            "that is empty or new, or an earlier evaluation's"
        )


def write_file(path: Path, data: bytes) -> None:
    with _writing(path), TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        part.write_bytes(data)
        part.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` when the block is left without an error."""
    path = path.absolute()
    with _writing(path), TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as beside:
        fresh, old = Path(beside) / "new", Path(beside) / "old"
        fresh.mkdir()
        yield fresh
        if path.exists():
            path.rename(old)
        os.rename(fresh, path)
        rmtree(old, ignore_errors=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as exc:
        raise InvalidOption(f"{path} cannot be written: {exc.strerror or exc}; name another place") from exc
