"""The items of a `meta` box (ISO/IEC 14496-12, ISO/IEC 23008-12): coded pictures, how they refer to one another, and
their properties."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import unpack_from

from cutstream.images.headers.boxes import Box, boxes, first_of_each
from cutstream.images.headers.reading import Steps, u16, u32

HIDDEN = 1
LARGE_INDEX = 1  # a flag of `ipma`: property indices of 15 bits instead of 7
IDS_PER_STEP = 16


@dataclass
class Items:
    """What a `meta` box says. `references` maps a type of reference and the item it comes from to its targets."""

    primary: int
    kinds: dict[int, bytes] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    references: dict[tuple[bytes, int], tuple[int, ...]] = field(default_factory=dict)
    properties: list[Box] = field(default_factory=list)
    associations: dict[int, tuple[int, ...]] = field(default_factory=dict)
    parts: dict[bytes, Box] = field(default_factory=dict)  # the boxes of `meta`

    def of(self, item: int) -> list[Box]:
        """Return the properties that an item has. Indices count from 1; others than ours name nothing."""
        indices = self.associations.get(item, ())
        return [self.properties[i - 1] for i in indices if 0 < i <= len(self.properties)]


def read_items(data: bytes, meta: Box, steps: Steps) -> Items:
    parts = first_of_each(data, meta.start + 4, meta.end, steps)
    items = Items(_id(data, parts[b"pitm"].start + 4, large=data[parts[b"pitm"].start] > 0), parts=parts)
    _read_kinds(data, parts[b"iinf"], items, steps)
    if b"iref" in parts:
        _read_references(data, parts[b"iref"], items, steps)
    properties = first_of_each(data, parts[b"iprp"].start, parts[b"iprp"].end, steps)
    items.properties.extend(boxes(data, properties[b"ipco"].start, properties[b"ipco"].end, steps))
    for box in boxes(data, parts[b"iprp"].start, parts[b"iprp"].end, steps):
        if box.kind == b"ipma":
            _read_associations(data, box, items, steps)
    return items


def _id(data: bytes, at: int, large: bool) -> int:
    return u32(data, at) if large else u16(data, at)


def _read_kinds(data: bytes, box: Box, items: Items, steps: Steps) -> None:
    large_count = data[box.start] > 0
    stated, start = _id(data, box.start + 4, large_count), box.start + (8 if large_count else 6)
    entries = list(boxes(data, start, box.end, steps))
    if len(entries) < stated:  # one whose size is damaged may hide the picture's alpha
        raise ValueError("some of its items are missing")
    for entry in entries:
        version = data[entry.start]
        if entry.kind == b"infe" and version >= 2:
            large = version > 2
            item, at = _id(data, entry.start + 4, large), entry.start + (10 if large else 8)
            items.kinds.setdefault(item, data[at : at + 4])
            if data[entry.start + 3] & HIDDEN:
                items.hidden.add(item)


def _read_references(data: bytes, box: Box, items: Items, steps: Steps) -> None:
    large = data[box.start] > 0
    width, code = (4, "I") if large else (2, "H")
    for reference in boxes(data, box.start + 4, box.end, steps):
        source, count = _id(data, reference.start, large), u16(data, reference.start + width)
        steps.take(count // IDS_PER_STEP)
        targets = unpack_from(f">{count}{code}", data, reference.start + width + 2)
        items.references.setdefault((reference.kind, source), targets)


def _read_associations(data: bytes, box: Box, items: Items, steps: Steps) -> None:
    large, wide = data[box.start] > 0, data[box.start + 3] & LARGE_INDEX
    at, width = box.start + 8, 2 if wide else 1
    for _ in range(u32(data, box.start + 4)):
        steps.take()
        item = _id(data, at, large)
        at += 4 if large else 2
        count = data[at]
        indices = unpack_from(f">{count}{'H' if wide else 'B'}", data, at + 1)
        steps.take(count // IDS_PER_STEP)
        items.associations.setdefault(item, tuple(i & (0x7FFF if wide else 0x7F) for i in indices))
        at += 1 + count * width
