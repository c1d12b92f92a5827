"""Properties of coded pictures in AVIF and HEIC: of an item, or of a sample entry of a track."""

from __future__ import annotations

from struct import unpack_from

from cutstream.images.headers.boxes import Box
from cutstream.images.headers.types import CodePoints, Format

FORMATS: dict[bytes, Format] = {b"av01": "avif", b"hvc1": "heic", b"hev1": "heic"}  # by type of item or sample entry
MAX_BITS = 16


def size_of(data: bytes, properties: list[Box]) -> tuple[int, int]:
    for box in properties:
        if box.kind == b"ispe":
            width, height = unpack_from(">II", data, box.start + 4)
            return width, height
    raise ValueError("its picture has no size")


def pixels_of(data: bytes, properties: list[Box]) -> int:
    extents = (unpack_from(">II", data, box.start + 4) for box in properties if box.kind == b"ispe")
    return sum(width * height for width, height in extents)


def cropped_by(data: bytes, properties: list[Box], width: int, height: int) -> tuple[int, int]:
    """Return the size by the `clap` property (clean aperture), which HEVC needs for odd sizes."""
    for box in properties:
        if box.kind == b"clap":
            w, w_divisor, h, h_divisor = unpack_from(">IIII", data, box.start)
            if w_divisor and h_divisor:
                return min(width, round(w / w_divisor)), min(height, round(h / h_divisor))
    return width, height


def samples_of(data: bytes, properties: list[Box]) -> tuple[int, int] | None:
    """Return bits and colour channels by the `pixi` property, or else by the codec's configuration."""
    found = None
    for kind, start, end in properties:
        if kind == b"pixi":
            channels = data[start + 4]
            bits = max(data[start + 5 : min(end, start + 5 + channels)], default=0)
            if channels in (1, 3) and 8 <= bits <= MAX_BITS:
                return bits, channels
        elif kind == b"av1C":
            flags = data[start + 2]
            found = (12 if flags & 0x20 else 10) if flags & 0x40 else 8, 1 if flags & 0x10 else 3
        elif kind == b"hvcC":
            found = (data[start + 17] & 7) + 8, 3 if data[start + 16] & 3 else 1
    return found


def colour_of(data: bytes, properties: list[Box]) -> tuple[CodePoints | None, bool]:
    """Return the code points, if stated, and whether there is an ICC profile."""
    points, profile = None, False
    for kind, start, end in properties:
        if kind != b"colr":
            continue
        if data[start : start + 4] == b"nclx" and end - start >= 11:
            primaries, transfer, matrix, flags = unpack_from(">HHHB", data, start + 4)
            points = CodePoints(primaries, transfer, matrix, bool(flags & 0x80))
        profile = profile or data[start : start + 4] in (b"prof", b"rICC")
    return points, profile
