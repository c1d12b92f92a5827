"""Read the directories (IFDs) of a TIFF: their tags that say where the picture is and how it is stored."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from struct import error, unpack_from

from cutstream.images.headers.directory import entries, first_numbers, next_directory, read_layout
from cutstream.images.headers.reading import Steps

MAX_ENTRIES = 20_000  # of all directories together: a thousand pages
STEPS_OF_DIRECTORY = 4  # it takes as long as so many entries
MAX_VALUES = 16  # of one tag
MAX_SUBIFDS = 16
REDUCED, MASK = 1, 4  # bits of NewSubfileType
OLD_REDUCED = 2  # a value of SubfileType
MAX_MAKE = 64  # characters
TEXT = 2  # a type of values


class Tag(IntEnum):
    NEW_SUBFILE_TYPE = 254
    SUBFILE_TYPE = 255
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    MAKE = 271
    SAMPLES = 277
    ROWS = 278
    PLANAR = 284
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    SUBIFDS = 330
    FORMAT = 339
    DNG_VERSION = 50706


WANTED = frozenset(int(tag) for tag in Tag)


@dataclass(frozen=True)
class Directory:
    tags: dict[int, tuple[int, ...]]
    make: bytes

    def first(self, tag: Tag, default: int = 0) -> int:
        values = self.tags.get(tag)
        return values[0] if values else default

    @property
    def width(self) -> int:
        return self.first(Tag.WIDTH)

    @property
    def height(self) -> int:
        return self.first(Tag.HEIGHT)

    @property
    def bits(self) -> tuple[int, ...]:
        return self.tags.get(Tag.BITS) or (1,)

    @property
    def is_apart(self) -> bool:
        """Tell a thumbnail, a level of a pyramid, a mask or a directory without a size from a picture of its own."""
        if not self.width * self.height:
            return True
        if Tag.NEW_SUBFILE_TYPE in self.tags:
            return bool(self.first(Tag.NEW_SUBFILE_TYPE) & (REDUCED | MASK))
        return self.first(Tag.SUBFILE_TYPE) == OLD_REDUCED


class TiffReader:
    """Reads directories within one budget of entries. Raises ValueError, struct.error, OverflowError."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._layout, self._first = read_layout(data)
        self._steps = Steps(MAX_ENTRIES, "tags")

    def chain(self) -> list[Directory]:
        """Return the directories of the chain. What is damaged after the first picture is left out."""
        found: list[Directory] = []
        seen: set[int] = set()
        at = self._first
        complete = False
        while at and at not in seen:
            seen.add(at)
            try:
                directory = self._read(at)
            except (error, ValueError, OverflowError):  # an offset beyond all memory overflows
                if complete:
                    break
                raise
            found.append(directory)
            complete = complete or not directory.is_apart
            at = self._following(at)
        if not found:
            raise ValueError("no directory")
        return found

    def below(self, directory: Directory) -> list[Directory]:
        """Return the SubIFDs of a directory."""
        return [self._read(at) for at in directory.tags.get(Tag.SUBIFDS, ())[:MAX_SUBIFDS]]

    def intact_below(self, directory: Directory) -> list[Directory]:
        """Return the SubIFDs of a directory that can be read."""
        found: list[Directory] = []
        for at in directory.tags.get(Tag.SUBIFDS, ())[:MAX_SUBIFDS]:
            with suppress(error, ValueError, OverflowError):
                found.append(self._read(at))
        return found

    def _read(self, at: int) -> Directory:
        """Return the directory at a place. The first of several equal tags counts."""
        self._steps.take(unpack_from(self._layout.count, self.data, at)[0] + STEPS_OF_DIRECTORY)
        tags: dict[int, tuple[int, ...]] = {}
        make = b""
        for entry in entries(self.data, self._layout, at):
            if entry.tag not in WANTED or entry.tag in tags:
                continue
            if entry.tag == Tag.MAKE and entry.kind == TEXT:
                make = self.data[entry.at : entry.at + min(entry.count, MAX_MAKE)]
            elif values := first_numbers(self.data, self._layout, entry, MAX_VALUES):
                tags[entry.tag] = values
        return Directory(tags, make)

    def _following(self, at: int) -> int:
        try:
            return next_directory(self.data, self._layout, at)
        except error:
            return 0
