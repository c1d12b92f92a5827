"""Read the directories (IFDs) of a TIFF: their tags that say where the picture is and how it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, calcsize, error, unpack_from

from cutstream.images.headers.reading import Steps

MAX_ENTRIES = 20_000  # of all directories together: a thousand pages
STEPS_OF_DIRECTORY = 4  # it takes as long as so many entries
MAX_VALUES = 16  # of one tag
MAX_SUBIFDS = 16
REDUCED, MASK = 1, 4  # bits of NewSubfileType
OLD_REDUCED = 2  # a value of SubfileType
NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # types of values, IFD offsets included
TEXT = 2


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
    """Reads directories within one budget of entries."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        order = "<" if data[:2] == b"II" else ">"
        self._big = 43 in data[2:4]
        self._order = order
        self._count = Struct(order + ("Q" if self._big else "H"))
        self._entry = Struct(order + ("HHQ8s" if self._big else "HHI4s"))
        self._offset = Struct(order + ("Q" if self._big else "I"))
        self._steps = Steps(MAX_ENTRIES, "tags")

    def chain(self) -> list[Directory]:
        """Return the directories of the chain. What is damaged after the first picture is left out."""
        found: list[Directory] = []
        seen: set[int] = set()
        (at,) = self._offset.unpack_from(self.data, 8 if self._big else 4)
        complete = False
        while at and at not in seen:
            seen.add(at)
            try:
                directory, at = self._read(at)
            except (error, ValueError, OverflowError):  # an offset beyond all memory overflows
                if complete:
                    break
                raise
            found.append(directory)
            complete = complete or not directory.is_apart
        if not found:
            raise ValueError("no directory")
        return found

    def below(self, directory: Directory) -> list[Directory]:
        """Return the SubIFDs of a directory."""
        return [self._read(at)[0] for at in directory.tags.get(Tag.SUBIFDS, ())[:MAX_SUBIFDS]]

    def _read(self, at: int) -> tuple[Directory, int]:
        """Return the directory at a place, and where the next one is. The first of several equal tags counts."""
        (count,) = self._count.unpack_from(self.data, at)
        self._steps.take(count + STEPS_OF_DIRECTORY)
        start = at + self._count.size
        end = start + count * self._entry.size
        tags: dict[int, tuple[int, ...]] = {}
        make = b""
        for place in range(start, end, self._entry.size):
            tag, kind, number, inline = self._entry.unpack_from(self.data, place)
            if tag not in WANTED or tag in tags:
                continue
            if kind in NUMBERS:
                tags[tag] = self._values(kind, number, inline, place + self._entry.size - len(inline))
            elif kind == TEXT and tag == Tag.MAKE and number > len(inline):
                (where,) = self._offset.unpack(inline)
                make = self.data[where : where + min(number, 64)]
        try:
            (following,) = self._offset.unpack_from(self.data, end)
        except error:
            following = 0
        return Directory(tags, make), following

    def _values(self, kind: int, number: int, inline: bytes, place: int) -> tuple[int, ...]:
        code = NUMBERS[kind]
        if number * calcsize(code) > len(inline):
            (place,) = self._offset.unpack(inline)
        return unpack_from(f"{self._order}{min(number, MAX_VALUES)}{code}", self.data, place)
