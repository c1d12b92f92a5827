"""Walk the boxes of an ISO base media file (ISO/IEC 14496-12), which JPEG 2000 files have too (ISO/IEC 15444-1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cutstream.images.headers.reading import Steps, u32, u64

TO_THE_END, LARGE = 0, 1  # values of a box's size with a meaning of their own


class Box(NamedTuple):
    """A box's type and where its payload lies in the file, end excluded."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int, end: int, steps: Steps) -> Iterator[Box]:
    """Yield the boxes between two places, one step each. The last one may be cut off."""
    while start + 8 <= end:
        steps.take()
        size, kind, payload = u32(data, start), data[start + 4 : start + 8], start + 8
        if size == LARGE:
            size, payload = u64(data, start + 8), start + 16
        elif size == TO_THE_END:
            size = end - start
        if start + size < payload:
            raise ValueError(f"a box of {size} bytes")
        yield Box(kind, payload, min(start + size, end))
        start += size


def first_of_each(data: bytes, start: int, end: int, steps: Steps) -> dict[bytes, Box]:
    """Return the first box of each type between two places."""
    found: dict[bytes, Box] = {}
    for box in boxes(data, start, end, steps):
        found.setdefault(box.kind, box)
    return found
