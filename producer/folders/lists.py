"""Lists of photos on standard input: what they name, and what they name that is not there."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Callable, Iterable, Iterator

from cutstream.clients.objects.files import path_of
from cutstream.errors import InvalidOption, RefusedAddress
from producer.folders.sources import entry_of, expand_user, is_local

_BLOCK_BYTES = 64 * 1024
_MOST_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def read_list(stream: io.BufferedIOBase) -> Iterator[str]:
    """Yield the entries of a list as they come: one a line, or with a NUL behind each, as `find -print0` writes them.

    Names are decoded like those of files. Raises InvalidOption for what is no list.
    """
    rest = stream.read1(_BLOCK_BYTES).removeprefix(_BOM)
    separator = b""
    chunk = rest
    while chunk:
        separator = separator or next((mark for mark in (b"\0", b"\n") if mark in rest), b"")
        if separator:
            *entries, rest = rest.split(separator)
            yield from map(os.fsdecode, entries)
        if len(rest) > _MOST_BYTES:
            raise InvalidOption("standard input is no list of photos: give one a line, or with a NUL behind each")
        chunk = stream.read1(_BLOCK_BYTES)
        rest += chunk
    if rest:
        yield os.fsdecode(rest)


def names_of(lines: Iterable[str], on_nothing: Callable[[str], None]) -> Iterator[str]:
    """Yield the entries of a list that name something. `on_nothing` is told of each other one: the rest goes on."""
    for line in lines:
        if not (entry := entry_of(line)):
            continue
        if _names_something(entry):
            yield entry
        else:
            on_nothing(entry)


def _names_something(entry: str) -> bool:
    if "\0" in entry:
        return False
    if not is_local(entry):
        return _is_address(entry)
    try:
        path = expand_user(entry)
    except InvalidOption:
        return False
    if os.path.isdir(path):
        return os.access(path, os.R_OK | os.X_OK)
    if glob.has_magic(path) and not os.path.lexists(path):
        return next(glob.iglob(path, recursive=True), None) is not None
    return os.path.isfile(path)


def _is_address(entry: str) -> bool:
    """Tell whether a request can hold an address. Whether something is there, its workers find out."""
    try:
        entry.encode()
        if entry.lower().startswith("file://"):
            path_of(entry)
    except (UnicodeEncodeError, RefusedAddress):
        return False
    return True
