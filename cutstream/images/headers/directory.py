"""Read a directory of tags (IFD): the structure that TIFF, BigTIFF and EXIF share (TIFF 6.0, section 2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAX_ENTRIES = 4096
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
RATIONALS = {5: "I", 10: "i"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag's values: `count` values of type `kind`, which begin at byte `at` of the file."""

    tag: int
    kind: int
    count: int
    at: int

    @property
    def size(self) -> int:
        return SIZES.get(self.kind, 0) * self.count


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte order and widths of a file: `order` is `<` or `>`, `big` is BigTIFF."""

    order: str
    big: bool

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ" if self.big else "HHI")

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")


def read_layout(data: bytes) -> tuple[Layout, int]:
    """Return a file's layout and where its first directory begins. Raises ValueError, struct.error."""
    match data[:4]:
        case b"II*\0":
            layout = Layout("<", False)
        case b"MM\0*":
            layout = Layout(">", False)
        case b"II+\0":
            layout = Layout("<", True)
        case b"MM\0+":
            layout = Layout(">", True)
        case _:
            raise ValueError("no byte order")
    return layout, struct.unpack_from(layout.offset, data, 8 if layout.big else 4)[0]


def entries(data: bytes, layout: Layout, at: int) -> Iterator[Entry]:
    """Yield a directory's entries, the good ones before a struct.error where the file ends."""
    (number,) = struct.unpack_from(layout.count, data, at)
    at += struct.calcsize(layout.count)
    inline = struct.calcsize(layout.offset)
    head = struct.calcsize(layout.entry)
    for place in range(at + head, at + head + (head + inline) * min(number, MAX_ENTRIES), head + inline):
        tag, kind, count = struct.unpack_from(layout.entry, data, place - head)
        is_inline = SIZES.get(kind, 0) * count <= inline
        yield Entry(tag, kind, count, place if is_inline else struct.unpack_from(layout.offset, data, place)[0])


def next_directory(data: bytes, layout: Layout, at: int) -> int:
    """Return where the directory after the one at `at` begins, or 0. Raises struct.error."""
    (number,) = struct.unpack_from(layout.count, data, at)
    size = struct.calcsize(layout.entry) + struct.calcsize(layout.offset)
    return int(struct.unpack_from(layout.offset, data, at + struct.calcsize(layout.count) + size * number)[0])


def whole_number(data: bytes, layout: Layout, entry: Entry) -> int:
    """Return an entry's first value. Raises ValueError if it is no whole number, struct.error beyond the file."""
    if entry.kind not in WHOLE_NUMBERS or entry.count < 1:
        raise ValueError(f"tag {entry.tag} is no whole number")
    return int(struct.unpack_from(layout.order + WHOLE_NUMBERS[entry.kind], data, entry.at)[0])


def whole_numbers(data: bytes, layout: Layout, entry: Entry, limit: int) -> tuple[int, ...]:
    """Return an entry's values, at most `limit`. Raises ValueError, struct.error."""
    if entry.kind not in WHOLE_NUMBERS or not 1 <= entry.count <= limit:
        raise ValueError(f"tag {entry.tag} is no list of at most {limit} whole numbers")
    return struct.unpack_from(f"{layout.order}{entry.count}{WHOLE_NUMBERS[entry.kind]}", data, entry.at)


def first_numbers(data: bytes, layout: Layout, entry: Entry, limit: int) -> tuple[int, ...]:
    """Return an entry's first values, at most `limit`; none if they are no whole numbers. Raises struct.error."""
    code = WHOLE_NUMBERS.get(entry.kind)
    return struct.unpack_from(f"{layout.order}{min(entry.count, limit)}{code}", data, entry.at) if code else ()


def number(data: bytes, layout: Layout, entry: Entry) -> float:
    """Return an entry's first value. Raises ValueError if it is no number, struct.error, ZeroDivisionError.

    0/0 is 0: many programs write it for "unknown".
    """
    if entry.kind in RATIONALS and entry.count > 0:
        above, below = struct.unpack_from(f"{layout.order}2{RATIONALS[entry.kind]}", data, entry.at)
        return float(above / below) if above or below else 0.0
    if entry.kind in (11, 12) and entry.count > 0:
        return float(struct.unpack_from(layout.order + ("f" if entry.kind == 11 else "d"), data, entry.at)[0])
    return float(whole_number(data, layout, entry))
