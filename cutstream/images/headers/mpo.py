"""The index of an MPO (CIPA DC-007): further pictures behind the first one of a JPEG."""

from __future__ import annotations

from collections.abc import Iterator
from struct import error, unpack_from
from typing import NamedTuple

from cutstream.images.headers.directory import entries, read_layout

MARK = b"MPF\0"  # in an APP2 segment
MP_ENTRIES = 0xB002
ENTRY_BYTES = 16
MAX_PICTURES = 64
TYPE = 0xFFFFFF  # the bits of an attribute
UNDEFINED = 0
PHOTOS = frozenset({0x020001, 0x020002, 0x020003})  # panorama, disparity, multi-angle


class MpEntry(NamedTuple):
    """A further picture: its type, and where its file begins."""

    kind: int
    start: int


def read_index(data: bytes, at: int) -> Iterator[MpEntry]:
    """Yield the pictures after the first, at most 64, of the index at `at`, behind its mark. A damaged one ends."""
    index = data[at : at + 65_536]
    try:
        layout, directory = read_layout(index)
        for entry in entries(index, layout, directory):
            if entry.tag != MP_ENTRIES:
                continue
            for place in range(entry.at, entry.at + min(entry.count, MAX_PICTURES * ENTRY_BYTES), ENTRY_BYTES):
                attribute, _, offset = unpack_from(f"{layout.order}III", index, place)
                if offset:  # the first one has none
                    yield MpEntry(attribute & TYPE, at + offset)
            return
    except (error, ValueError, OverflowError):
        return
