"""Read the format and the size of an image from a file's first bytes, before anything is decoded.

This runs in the worker itself, so no image library gets the bytes here. `decode` checks that it reads the same size.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from cutstream.errors import ResolutionTooHigh, UnreadableImage, UnsupportedImage

Size = tuple[int, int]

MAGIC = {
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "avif": re.compile(rb".{4}ftyp.{0,60}avi[fs]", re.DOTALL),
    "tiff": re.compile(rb"II\*\0|MM\0\*"),
}
MAX_JPEG_SEGMENTS = 2_000  # a 16 MB ICC profile takes 255; a file of empty segments must not take seconds
JPEG_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
AVIF_EXTENT = re.compile(rb"\x00\x00\x00\x14ispe\x00{4}(.{4})(.{4})", re.DOTALL)
AVIF_META_BYTES = 1_000_000
TIFF_SHORT, TIFF_WIDTH, TIFF_HEIGHT = 3, 256, 257


@dataclass(frozen=True, slots=True)
class CodingPoints:
    """The colour space of decoded samples by its code points in ITU-T H.273: `nclx` in AVIF and HEIC, `cICP` in PNG."""

    primaries: int
    transfer: int
    matrix: int
    full_range: bool


@dataclass(frozen=True, slots=True)
class Header:
    """The format and the stored size of an image. The EXIF orientation may swap width and height."""

    format: str
    width: int
    height: int
    bits: int = 8  # of one sample
    channels: int = 3  # as stored, with alpha
    progressive: bool = False  # the decoder holds the whole image before its first row: progressive or interlaced
    pictures: int = 1  # frames or pages of the file, thumbnails not counted
    page: int = 0  # which page of a TIFF is the picture
    colour: CodingPoints | None = None  # if the file states one

    @property
    def pixels(self) -> int:
        return self.width * self.height


def read_header(data: bytes, max_pixels: int) -> Header:
    """Read a file's header. Raises `UnsupportedImage`, `UnreadableImage`, or `ResolutionTooHigh` above `max_pixels`."""
    if not data:
        raise UnreadableImage("the file is empty")
    name = _sniff(data)
    try:
        width, height = SIZES[name](data)
    except (struct.error, ValueError, LookupError) as error:
        raise UnreadableImage(f"the {name} header is truncated or damaged") from error
    if width < 1 or height < 1:
        raise UnreadableImage(f"the {name} header gives an empty image, {width}×{height}")
    header = Header(name, width, height)
    if header.pixels > max_pixels:
        size = f"{width}×{height} is {header.pixels / 1e6:.1f} megapixels"
        raise ResolutionTooHigh(f"{size}, the limit is {max_pixels / 1e6:g}: scale it down")
    return header


def _sniff(data: bytes) -> str:
    for name, magic in MAGIC.items():
        if magic.match(data):
            return name
    raise UnsupportedImage(f"not an image of an accepted format: send {', '.join(MAGIC)}")


def _jpeg_size(data: bytes) -> Size:
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        marker = JPEG_MARKER.search(data, at)
        if marker is None:
            raise ValueError("no frame header")
        at = marker.end()
        code = marker[1][0]
        if code in JPEG_FRAMES:
            height, width = struct.unpack_from(">xxxHH", data, at)
            return width, height
        if code not in JPEG_STANDALONE:
            at += struct.unpack_from(">H", data, at)[0]
    raise ValueError("too many segments before the frame header")


def _png_size(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _webp_size(data: bytes) -> Size:
    match data[12:16]:
        case b"VP8X":
            w, w_high, h, h_high = struct.unpack_from("<HBHB", data, 24)
            return 1 + w + (w_high << 16), 1 + h + (h_high << 16)
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            w, h = struct.unpack_from("<HH", data, 26)
            return w & 0x3FFF, h & 0x3FFF
    raise ValueError("no image chunk")


def _avif_size(data: bytes) -> Size:
    """Return the largest extent. Tiles, thumbnails and alpha planes have extents too, none larger than the image's."""
    extents = AVIF_EXTENT.findall(data[:AVIF_META_BYTES])
    sizes = [(int.from_bytes(w, "big"), int.from_bytes(h, "big")) for w, h in extents]
    return max(sizes, key=lambda size: size[0] * size[1])


def _tiff_size(data: bytes) -> Size:
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    values: dict[int, int] = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        (value,) = struct.unpack_from(order + ("H" if kind == TIFF_SHORT else "I"), data, entry + 8)
        values.setdefault(tag, value)
    return values[TIFF_WIDTH], values[TIFF_HEIGHT]


SIZES: dict[str, Callable[[bytes], Size]] = {
    "jpeg": _jpeg_size,
    "png": _png_size,
    "webp": _webp_size,
    "avif": _avif_size,
    "tiff": _tiff_size,
}
