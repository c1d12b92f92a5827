"""Where the data of items begin: the `iloc` box (ISO/IEC 14496-12)."""

from __future__ import annotations

from cutstream.images.headers.boxes import Box
from cutstream.images.headers.reading import Steps

IN_FILE, IN_IDAT = 0, 1  # ways to count offsets
STEPS_OF_EXTENT = 8  # extents to a step


def read_beginnings(
    data: bytes, parts: dict[bytes, Box], wanted: set[int], limit: int, steps: Steps
) -> dict[int, bytes]:
    """Return the first bytes, at most `limit`, of each wanted item that has any. `parts` are the boxes of `meta`."""
    if b"iloc" not in parts:
        return {}
    reader = _Reader(data, parts[b"iloc"].start)
    version, sizes = reader.number(4) >> 24, reader.number(2)
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version in (1, 2) else 0
    found: dict[int, bytes] = {}
    for _ in range(reader.number(2 if version < 2 else 4)):
        steps.take()
        item = reader.number(2 if version < 2 else 4)
        method = reader.number(2) & 15 if version in (1, 2) else IN_FILE
        reader.number(2)
        base, extents = reader.number(base_bytes), reader.number(2)
        steps.take(extents // STEPS_OF_EXTENT)
        start, end = _bounds(data, parts, method)
        gathered = b""
        for _ in range(extents):
            reader.number(index_bytes)
            at, length = start + base + reader.number(offset_bytes), reader.number(length_bytes)
            if item in wanted and len(gathered) < limit:
                gathered += data[at : min(end, at + (length or end))][: limit - len(gathered)]
        if gathered:
            found.setdefault(item, gathered)
    return found


def _bounds(data: bytes, parts: dict[bytes, Box], method: int) -> tuple[int, int]:
    if method == IN_FILE:
        return 0, len(data)
    if method == IN_IDAT and b"idat" in parts:
        return parts[b"idat"].start, parts[b"idat"].end
    return len(data), len(data)


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def number(self, size: int) -> int:
        """Return the next number of `size` bytes. Raises ValueError past the end."""
        self._at += size
        if self._at > len(self._data):
            raise ValueError("it ends within the places of its items")
        return int.from_bytes(self._data[self._at - size : self._at], "big")
