"""No file holds the worker: the steps and the memory of `read_header` are bounded for the worst that we can think of.

A step is a line of Python. Searches and comparisons in C are not counted; each passes over every byte once, at a
gigabyte per second.
"""

from __future__ import annotations

import struct

import pytest

from cutstream.errors import Poison
from cutstream.images.header import read_header
from cutstream.images.headers.directory import MAX_ENTRIES
from tests.support.line_count import count_lines, peak_bytes

SIZE = 3_000_000
MAX_LINES = 1_000_000  # 50 ms
MAX_MEMORY = 8_000_000


def filled(head: bytes, unit: bytes) -> bytes:
    return (head + unit * (SIZE // len(unit)))[:SIZE]


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


FRAME = b"\xff\xd8\xff\xc2\x00\x11\x08\0\x64\0\x64\3\1\x11\0\2\x11\0\3\x11\0"
SCAN = b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\0\0"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0) + bytes(4)
WEBP = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\2\0\0\0" + struct.pack("<HBHB", 99, 0, 99, 0)
GIF = b"GIF89a\x64\0\x64\0\0\0\0"
GIF_PICTURE = GIF + b",\0\0\0\0\x64\0\x64\0\0\2"
HEIC = box(b"ftyp", b"heic\0\0\0\0mif1heic")
PRIMARY = box(b"pitm", bytes(4), b"\0\1")
ENTRIES = box(b"iinf", bytes(4), b"\0\1", box(b"infe", b"\2\0\0\0\0\1\0\0grid"))
EXTENT = box(b"ispe", bytes(4), struct.pack(">II", 100, 100))


def meta(*parts: bytes) -> bytes:
    return HEIC + box(b"meta", bytes(4), PRIMARY, *parts)


def tiles_with_many_properties() -> bytes:
    """Thousands of tiles with 255 properties each, one of which is the extent."""
    tiles = range(2, 4000)
    references = box(b"iref", bytes(4), box(b"dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *tiles)))
    properties = box(b"ipco", EXTENT, *[box(b"free")] * 126)
    pairs = [struct.pack(">HB", tile, 255) + b"\1" + b"\2" * 254 for tile in (1, *tiles)]
    associations = box(b"ipma", struct.pack(">II", 0, len(pairs)), *pairs)
    return meta(ENTRIES, references, box(b"iprp", properties, associations))


def long_directories(entry: bytes) -> bytes:
    """A chain of directories with as many entries as are read of one."""
    size = 2 + MAX_ENTRIES * len(entry) + 4
    body = struct.pack("<H", MAX_ENTRIES) + MAX_ENTRIES * entry
    return b"II*\0\x08\0\0\0" + b"".join(body + struct.pack("<I", 8 + k * size) for k in range(1, 6))


FILES = {
    "jpeg/fill-bytes": filled(b"\xff\xd8\xff", b"\xff"),
    "jpeg/zeros": filled(b"\xff\xd8\xff\xe0\0\2", b"\0"),
    "jpeg/stuffed-bytes": filled(b"\xff\xd8\xff\xe0\0\2", b"\xff\0"),
    "jpeg/segments": filled(b"\xff\xd8", b"\xff\xe0\0\2"),
    "jpeg/segments-apart": filled(b"\xff\xd8", b"\xff\xe0\0\2\0"),
    "jpeg/segments-far-apart": filled(b"\xff\xd8", b"\xff\xe0\0\2" + bytes(300)),
    "jpeg/scans": filled(FRAME, SCAN),
    "jpeg/scans-apart": filled(FRAME, SCAN + bytes(300)),
    "jpeg/restarts": filled(FRAME + SCAN, b"\xff\xd0"),
    "jpeg/tables-apart": filled(FRAME + SCAN, bytes(300) + b"\xff\xc4\0\2"),
    "png/chunks": filled(PNG, bytes(4) + b"tEXt" + bytes(4)),
    "webp/frames": filled(WEBP, b"ANMF\0\0\0\0"),
    "gif/short-blocks": filled(GIF_PICTURE, b"\1\1"),
    "gif/long-blocks": filled(GIF_PICTURE, b"\xff" * 256),
    "gif/extensions": filled(GIF, b"!\xff\0"),
    "heic/boxes": filled(HEIC, box(b"free")),
    "heic/boxes-within": meta(box(b"free") * (SIZE // 8)),
    "heic/entries": meta(box(b"iinf", bytes(6), box(b"infe", b"\2\0\0\0\0\1\0\0hvc1") * (SIZE // 20))),
    "heic/references": meta(
        ENTRIES, box(b"iref", bytes(4), box(b"dimg", b"\0\1\xff\xff", b"\0\2" * 65_535) * (SIZE // 131_000))
    ),
    "heic/properties": tiles_with_many_properties(),
    "heic/tracks": box(b"ftyp", b"msf1\0\0\0\0") + box(b"moov", box(b"trak") * (SIZE // 8)),
    "tiff/entries": long_directories(struct.pack("<HHII", 700, 4, 1, 100)),
    "tiff/one-tag": long_directories(struct.pack("<HHII", 330, 4, 1000, 100)),
    "tiff/directories": b"II*\0\x08\0\0\0"
    + b"".join(struct.pack("<HHHIII", 1, 254, 4, 1, 1, 8 + 18 * (k + 1)) for k in range(SIZE // 18)),
    "tiff/empty-directories": b"II*\0\x08\0\0\0"
    + b"".join(struct.pack("<HI", 0, 8 + 6 * (k + 1)) for k in range(SIZE // 6)),
    "jpeg2000/boxes": filled(b"\0\0\0\x0cjP  \r\n\x87\n", box(b"free")),
    "none/zeros": bytes(SIZE),
    "none/almost-zeros": bytes(SIZE - 1) + b"\1",
    "none/spaces": b" " * SIZE,
    "none/markup": b"<html>" + b"<" * SIZE,
    "none/percent": b"%" * SIZE,
    "none/unknown": b"\7\x08\x09\x0b" * (SIZE // 4),
}


def outcome(data: bytes) -> None:
    try:
        read_header(data, 50_000_000)
    except Poison:
        pass


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_steps_and_memory_are_bounded(data: bytes) -> None:
    assert count_lines(lambda: outcome(data)) < MAX_LINES
    assert peak_bytes(lambda: outcome(data)) < MAX_MEMORY
