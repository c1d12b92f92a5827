"""The header of a JPEG 2000 (ISO/IEC 15444-1): a box file (`.jp2`) or a bare codestream (`.j2k`)."""

from __future__ import annotations

from struct import unpack_from

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.headers.boxes import boxes
from cutstream.images.headers.reading import Steps, u32
from cutstream.images.headers.types import Header

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
MAX_BOXES = 1_000
MAX_COMPONENTS = 4
MAX_TILES = 16_384
MAX_BITS = 16


def read_jpeg2000(data: bytes) -> Header:
    """Return the size on the reference grid, less its offset, which is that of the decoded picture."""
    at = 0 if data.startswith(CODESTREAM) else _find_codestream(data)
    x1, y1, x0, y0, tile_w, tile_h, tile_x0, tile_y0, count = unpack_from(">IIIIIIIIH", data, at + 8)
    depths = data[at + 42 : at + 42 + 3 * min(count, MAX_COMPONENTS) : 3]
    if data[at : at + 4] != CODESTREAM or not depths or not tile_w * tile_h or x1 <= x0 or y1 <= y0:
        raise ValueError("its codestream has no size")
    if count > MAX_COMPONENTS:
        raise UnsupportedImage(f"a JPEG 2000 of {count} components: save it in grey or RGB, with or without alpha")
    bits = max(depth & 0x7F for depth in depths) + 1
    if bits > MAX_BITS:
        raise UnsupportedImage(f"a JPEG 2000 of {bits} bits per sample: save it with 8 or 16 bits")
    tiles = -(-(x1 - tile_x0) // tile_w) * -(-(y1 - tile_y0) // tile_h)
    if tiles > MAX_TILES:
        raise UnreadableImage(f"a JPEG 2000 of {tiles:,} tiles takes too long: save it with larger tiles, or as PNG")
    return Header("jpeg2000", x1 - x0, y1 - y0, bits=bits, channels=count)


def _find_codestream(data: bytes) -> int:
    steps = Steps(MAX_BOXES, "boxes")
    for box in boxes(data, len(SIGNATURE), len(data), steps):
        if box.kind == b"ftyp":
            _check_brand(data[box.start : box.start + 4])
        if box.kind == b"jp2c":
            u32(data, box.start)
            return box.start
    raise ValueError("no codestream")


def _check_brand(brand: bytes) -> None:
    if brand == b"mjp2":
        raise UnsupportedImage("a Motion JPEG 2000 video, not an image of an accepted format: send one of its frames")
    if brand == b"jpm ":
        raise UnsupportedImage("a JPEG 2000 compound document (JPM): save its page as JPEG or TIFF")
