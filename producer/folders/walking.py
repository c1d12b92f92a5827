"""The photos below a folder, in flat memory however many there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from cutstream.clients.objects.files import path_of
from cutstream.errors import RefusedAddress
from producer.folders.kinds import (
    BROKEN_LINK,
    HIDDEN_FOLDER,
    LINKED_FOLDER,
    OWN_FOLDER,
    UNREADABLE_FOLDER,
    LeftOut,
    is_photo,
    why_left_out,
)

MARK = ".cutstream"
"""A folder with this name in it holds cutouts: it is the ledger's place, and no photos are looked for."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A photo. `name` is its path below the folder that was walked; names that are not UTF-8 have surrogates.

    `crowded` tells that a photo beside it has the same name but for the extension.
    """

    path: str
    name: str
    size: int
    mtime_ns: int
    crowded: bool = False


def walk(folder: str, left_out: LeftOut, ignored: frozenset[tuple[int, int]] = frozenset()) -> Iterator[FoundFile]:
    """Yield all photos below the folder, in no certain order. What is left out is counted.

    Links to photos are followed, links to folders are not: they could lead in circles. `ignored` has the device and the
    inode of folders that hold no photos to send. A folder that is gone meanwhile, or may not be read, is left out.
    """
    pending = [""]
    while pending:
        below = pending.pop()
        try:
            yield from _files(os.path.join(folder, below), below, pending, left_out, ignored)
        except OSError:
            left_out.add(UNREADABLE_FOLDER)


def identity_of(folder: str | os.PathLike[str]) -> frozenset[tuple[int, int]]:
    """Return the device and the inode of a folder, for `ignored`. Empty if there is no such folder yet."""
    try:
        status = os.stat(folder)
    except OSError:
        return frozenset()
    return frozenset({(status.st_dev, status.st_ino)})


def was_moved(address: str, now: str) -> bool:
    """Tell whether a file's earlier address leads nowhere now, or to the same file by another path."""
    try:
        before = path_of(address)
        return not os.path.lexists(before) or os.path.samefile(before, path_of(now))
    except (OSError, RefusedAddress):
        return False


def is_file_of(address: str, path: str | os.PathLike[str]) -> bool:
    """Tell whether a path leads to the file at an address."""
    try:
        return os.path.samefile(path_of(address), path)
    except (OSError, RefusedAddress):
        return False


def _files(
    folder: str, below: str, pending: list[str], left_out: LeftOut, ignored: frozenset[tuple[int, int]]
) -> Iterator[FoundFile]:
    if below and os.path.lexists(os.path.join(folder, MARK)):
        left_out.add(OWN_FOLDER)
        return
    crowded = _crowded_stems(folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name.startswith("."):
                    if entry.name != MARK:
                        left_out.add(HIDDEN_FOLDER)
                elif not (ignored and identity_of(entry.path) & ignored):
                    pending.append(os.path.join(below, entry.name))
            elif what := why_left_out(entry.name):
                left_out.add(what)
            elif (found := _look_at(entry, below, left_out)) is not None:
                is_crowded = bool(crowded) and _stem_key(entry.name) in crowded
                yield FoundFile(entry.path, os.path.join(below, entry.name), *found, is_crowded)


def _look_at(entry: os.DirEntry[str], below: str, left_out: LeftOut) -> tuple[int, int] | None:
    """Return the size and the time of a file, or None for what is no file."""
    try:
        if entry.is_file():
            status = entry.stat()
            return status.st_size, status.st_mtime_ns
        left_out.add(LINKED_FOLDER if entry.is_dir() else BROKEN_LINK if entry.is_symlink() else "other file")
    except OSError:
        left_out.add(BROKEN_LINK)
    return None


def _crowded_stems(folder: str) -> frozenset[int]:
    """Return keys of the stems that several photos of one folder have.

    It holds eight bytes for each photo: a folder may have a million.
    """
    with os.scandir(folder) as entries:
        photos = (entry.name for entry in entries if is_photo(entry.name))
        keys = np.fromiter(map(_stem_key, photos), np.int64)
    if len(keys) < 2:
        return frozenset()
    found, counts = np.unique(keys, return_counts=True)
    return frozenset(found[counts > 1].tolist())


def _stem_key(name: str) -> int:
    return hash(PurePath(name).stem)  # two stems with one key only get longer names
