"""Write TIFF files of any layout: byte order, classic or BigTIFF, strips or tiles, planar or not, any tags.

Source: TIFF 6.0 (Adobe, 1992), its Technical Notes 1 (SubIFDs) and 2 (JPEG), and the BigTIFF design of libtiff.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.pictures.lzw import tiff_lzw
from tests.support.pictures.truth import pack_bits

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, DOUBLE, LONG8, IFD8 = 1, 2, 3, 4, 5, 7, 12, 16, 18
CODES = {BYTE: "B", ASCII: "s", SHORT: "H", LONG: "I", UNDEFINED: "s", DOUBLE: "d", LONG8: "Q", IFD8: "Q"}
NONE, LZW, JPEG, DEFLATE, PACKBITS, LZMA, ZSTD, WEBP = 1, 5, 7, 8, 32773, 34925, 50000, 50001
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, LAB = 0, 1, 2, 3, 4, 5, 6, 8
SUB_IFDS = 330

Tags = Mapping[int, tuple[int, Any]]


@dataclass(frozen=True)
class Page:
    """One directory. `samples` is unsigned H×W×channels (float32 if `floating`); `tags` are added or replace ours.

    `encode` compresses one strip or tile, given its rows (rows × samples) and channels; without it, `compression` must
    be one of those that need no picture.
    """

    samples: NDArray[Any]
    bits: int = 8
    photometric: int = RGB
    compression: int = NONE
    predictor: int = 1
    planar: bool = False
    rows_per_strip: int = 16
    tile: tuple[int, int] | None = None  # height, width
    fill_order: int = 1
    floating: bool = False
    tags: Tags = field(default_factory=dict)
    subpages: Sequence[Page] = ()
    encode: Callable[[NDArray[Any]], bytes] | None = None


def write_tiff(pages: Sequence[Page], order: str = "<", *, big: bool = False) -> bytes:
    """Write pages in the byte order `<` or `>`; the offsets of a BigTIFF have 64 bits."""
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    if big:
        out += struct.pack(order + "HH", 8, 0)
    link = len(out)
    out += bytes(8 if big else 4)
    for page in pages:
        start, after = _write_page(out, page, order, big)
        struct.pack_into(order + ("Q" if big else "I"), out, link, start)
        link = after
    return bytes(out)


def _write_page(out: bytearray, page: Page, order: str, big: bool) -> tuple[int, int]:
    """Append a page. Return where its directory starts, and where the offset of the next one belongs."""
    offsets, counts = [], []
    for block in _blocks(page, order):
        offsets.append(len(out))
        counts.append(len(block))
        out += block + bytes(len(block) % 2)
    children = [_write_page(out, child, order, big)[0] for child in page.subpages]
    tags = {**_tags_of(page, offsets, counts), **page.tags}
    if children:
        tags[SUB_IFDS] = (LONG, children)
    return _write_directory(out, tags, order, big)


def _tags_of(page: Page, offsets: list[int], counts: list[int]) -> dict[int, tuple[int, Any]]:
    height, width, channels = page.samples.shape
    tags: dict[int, tuple[int, Any]] = {
        256: (LONG, width),
        257: (LONG, height),
        258: (SHORT, [page.bits] * channels),
        259: (SHORT, page.compression),
        262: (SHORT, page.photometric),
        277: (SHORT, channels),
        284: (SHORT, 2 if page.planar else 1),
    }
    if page.fill_order != 1:
        tags[266] = (SHORT, page.fill_order)
    if page.predictor != 1:
        tags[317] = (SHORT, page.predictor)
    if page.floating:
        tags[339] = (SHORT, [3] * channels)
    if page.tile:
        return {**tags, 322: (LONG, page.tile[1]), 323: (LONG, page.tile[0]), 324: (LONG, offsets), 325: (LONG, counts)}
    return {**tags, 273: (LONG, offsets), 278: (LONG, page.rows_per_strip), 279: (LONG, counts)}


def _write_directory(out: bytearray, tags: Tags, order: str, big: bool) -> tuple[int, int]:
    inline, count_code = (8, "Q") if big else (4, "I")
    entries = bytearray()
    for tag, (kind, value) in sorted(tags.items()):
        body, count = _pack_value(order, kind, value)
        if len(body) > inline:
            out += bytes(len(out) % 2)
            stored = struct.pack(order + count_code, len(out))
            out += body
        else:
            stored = body.ljust(inline, b"\0")
        entries += struct.pack(order + "HH" + count_code, tag, kind, count) + stored
    out += bytes(len(out) % 2)
    start = len(out)
    out += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
    link = len(out)
    out += bytes(inline)
    return start, link


def _pack_value(order: str, kind: int, value: Any) -> tuple[bytes, int]:
    if isinstance(value, bytes):
        return value, len(value)
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if kind == RATIONAL:
        return struct.pack(f"{order}{2 * len(values)}I", *(part for pair in values for part in pair)), len(values)
    return struct.pack(f"{order}{len(values)}{CODES[kind]}", *values), len(values)


def _blocks(page: Page, order: str) -> Iterator[bytes]:
    """Cut the samples into strips or tiles, plane by plane if planar, and encode each."""
    channels = page.samples.shape[2]
    planes = [page.samples[..., k : k + 1] for k in range(channels)] if page.planar else [page.samples]
    for plane in planes:
        for block in _cut(plane, page):
            yield _encode(block, page, order)


def _cut(plane: NDArray[Any], page: Page) -> Iterator[NDArray[Any]]:
    height, width, _ = plane.shape
    if page.tile is None:
        for top in range(0, height, page.rows_per_strip):
            yield plane[top : top + page.rows_per_strip]
        return
    tall, wide = page.tile
    for top in range(0, height, tall):
        for left in range(0, width, wide):
            block = plane[top : top + tall, left : left + wide]
            padding = ((0, tall - block.shape[0]), (0, wide - block.shape[1]), (0, 0))
            yield np.pad(block, padding, mode="edge")


def _encode(block: NDArray[Any], page: Page, order: str) -> bytes:
    if page.encode:
        return page.encode(block)
    if page.floating:
        data = block.astype(order + f"f{page.bits // 8}").tobytes()
    else:
        rows = _differences(block, page.bits) if page.predictor == 2 else block
        data = pack_bits(rows.reshape(rows.shape[0], -1), page.bits, little_bytes=order == "<")
    data = COMPRESSORS[page.compression](data)
    return data.translate(REVERSED) if page.fill_order == 2 else data


def _differences(block: NDArray[Any], bits: int) -> NDArray[Any]:
    wide = block.astype(np.int64)
    wide[:, 1:] -= block[:, :-1].astype(np.int64)
    return (wide % 2**bits).astype(np.uint32)


def pack_runs(data: bytes) -> bytes:
    """Compress as PackBits: literal runs only, which is legal, and one repeat wherever bytes are equal."""
    out, at = bytearray(), 0
    while at < len(data):
        run = 1
        while run < 128 and at + run < len(data) and data[at + run] == data[at]:
            run += 1
        if run > 2:
            out += bytes([257 - run, data[at]])
            at += run
            continue
        end = at + 1
        while end < len(data) and end - at < 128 and data[end : end + 3] != data[end : end + 1] * 3:
            end += 1
        out += bytes([end - at - 1]) + data[at:end]
        at = end
    return bytes(out)


def _zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
COMPRESSORS: dict[int, Callable[[bytes], bytes]] = {
    NONE: bytes,
    LZW: tiff_lzw,
    DEFLATE: zlib.compress,
    32946: zlib.compress,  # the older number of Deflate
    PACKBITS: pack_runs,
    LZMA: lzma.compress,
    ZSTD: _zstd,
}
