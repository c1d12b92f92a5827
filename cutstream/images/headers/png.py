"""The header of a PNG (W3C PNG, third edition)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from
from typing import NamedTuple

from cutstream.errors import UnsupportedImage
from cutstream.images.headers.reading import u32
from cutstream.images.headers.types import CodePoints, Header

MAX_CHUNKS = 20_000  # before the pixels; nothing is looked for after them
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 3, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    length: int


def read_png(data: bytes) -> Header:
    if data[12:16] == b"CgBI":
        raise UnsupportedImage("a PNG from inside an iPhone app (CgBI), which is not a true PNG: export it again")
    width, height, bits, colour_type, _, _, interlace = unpack_from(">IIBBBBB", data, 16)
    if data[12:16] != b"IHDR" or bits not in DEPTHS.get(colour_type, ()):
        raise ValueError(f"colour type {colour_type} of {bits} bits does not exist")
    chunks = _chunks_before_pixels(data)
    if colour_type == PALETTE and b"PLTE" not in chunks:
        raise ValueError("its palette is missing")
    return Header(
        "png",
        width,
        height,
        bits=bits,
        channels=CHANNELS[colour_type] + (b"tRNS" in chunks and colour_type not in (GREY_ALPHA, RGBA)),
        progressive=interlace == 1,
        pictures=_pictures(data, chunks),
        colour=_code_points(data, chunks),
    )


def _chunks_before_pixels(data: bytes) -> dict[bytes, _Chunk]:
    """Return the first chunk of each type before the pixels. A file of absurdly many is given up, not refused."""
    found: dict[bytes, _Chunk] = {}
    for chunk in _chunks(data):
        if chunk.kind == b"IDAT":
            break
        found.setdefault(chunk.kind, chunk)
    return found


def _chunks(data: bytes) -> Iterator[_Chunk]:
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        length = u32(data, at)
        yield _Chunk(data[at + 4 : at + 8], at + 8, length)
        at += 12 + length


def _pictures(data: bytes, chunks: dict[bytes, _Chunk]) -> int:
    """Return the number of frames. Without a frame control before the pixels, these are a picture of their own."""
    control = chunks.get(b"acTL")
    if control is None or control.start + 8 > len(data):
        return 1
    return max(1, u32(data, control.start) + (b"fcTL" not in chunks))


def _code_points(data: bytes, chunks: dict[bytes, _Chunk]) -> CodePoints | None:
    chunk = chunks.get(b"cICP")
    if chunk is None or chunk.length != 4 or chunk.start + 4 > len(data):
        return None
    primaries, transfer, matrix, full_range = data[chunk.start : chunk.start + 4]
    return CodePoints(primaries, transfer, matrix, full_range == 1)
