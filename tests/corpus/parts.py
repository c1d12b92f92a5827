"""Find the parts of a file that mutations move about: segments, chunks, boxes, directory entries, blocks.

The walk stops early in files that are damaged already, at the latest after MOST parts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

MOST = 2_000


class Part(NamedTuple):
    """Bytes `start` to `end`. The length field, if there is one, takes `length_bytes` bytes at `length_at`."""

    start: int
    end: int
    length_at: int = 0
    length_bytes: int = 0


def parts(data: bytes, format: str) -> list[Part]:
    """Return the parts that lie within the file; none where it is too damaged to be walked."""
    try:
        found = WALKS[format](data)
    except (IndexError, ValueError, OverflowError, struct.error):  # damaged
        return []
    return [part for part in found if part.start < part.end <= len(data)]


def _jpeg(data: bytes) -> list[Part]:
    found, at = [], 2
    while at + 4 <= len(data) and data[at + 1] != 0xDA and len(found) < MOST:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append(Part(at, end, at + 2, 2))
        at = end
    scans = [k for k in range(at, len(data) - 1) if data[k] == 0xFF and data[k + 1] not in (0, 0xFF)]
    return found + [Part(a, b) for a, b in zip(scans, [*scans[1:], len(data)], strict=True)]


def _png(data: bytes) -> list[Part]:
    found, at = [], 8
    while at < len(data) and len(found) < MOST:
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        found.append(Part(at, end, at, 4))
        at = end
    return found


def _webp(data: bytes) -> list[Part]:
    found, at = [], 12
    while at < len(data) and len(found) < MOST:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        found.append(Part(at, end, at + 4, 4))
        at = end
    return found


def _boxes(data: bytes) -> list[Part]:
    found: list[Part] = []
    _walk_boxes(data, 0, len(data), found)
    return found


HOLDERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"iinf": 6}


def _walk_boxes(data: bytes, at: int, stop: int, found: list[Part]) -> None:
    while at + 8 <= stop and len(found) < MOST:
        size = int.from_bytes(data[at : at + 4], "big")
        end = at + size if size >= 8 else stop
        found.append(Part(at, end, at, 4))
        skip = HOLDERS.get(data[at + 4 : at + 8])
        if skip is not None:
            _walk_boxes(data, at + 8 + skip, end, found)
        at = end


def _tiff(data: bytes) -> list[Part]:
    """Return the entries of all directories in the chain."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset, count, size, head = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 2)
    found = []
    (at,) = struct.unpack_from(order + offset, data, 8 if big else 4)
    for _ in range(9):
        if not at:
            break
        (entries,) = struct.unpack_from(order + count, data, at)
        for k in range(min(entries, MOST)):
            entry = at + head + k * size
            found.append(Part(entry, entry + size, entry + 4, 8 if big else 4))
        (at,) = struct.unpack_from(order + offset, data, at + head + entries * size)
    return found


def _gif(data: bytes) -> list[Part]:
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    found = []
    while data[at] != 0x3B and len(found) < MOST:
        start = at
        at += 2 if data[at] == 0x21 else 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        while data[at]:
            at += data[at] + 1
        at += 1
        found.append(Part(start, at))
    return found


def _bmp(data: bytes) -> list[Part]:
    rows = int.from_bytes(data[10:14], "little")
    return [Part(0, 14, 2, 4), Part(14, 54, 14, 4), Part(54, max(rows, 55)), Part(rows, len(data), 34, 4)]


def _jpeg2000(data: bytes) -> list[Part]:
    start = data.index(b"\xff\x4f\xff\x51")
    found = []
    if start:
        _walk_boxes(data, 0, start - 8, found)
    at = start + 2
    while data[at + 1] != 0x90 and len(found) < MOST:  # the first tile
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append(Part(at, end, at + 2, 2))
        at = end
    return [*found, Part(at, len(data), at + 6, 4)]


WALKS: dict[str, Callable[[bytes], list[Part]]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "avif": _boxes,
    "heic": _boxes,
    "tiff": _tiff,
    "gif": _gif,
    "bmp": _bmp,
    "jpeg2000": _jpeg2000,
}
