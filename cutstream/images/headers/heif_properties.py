"""Properties of coded pictures in AVIF and HEIC: of an item, or of a sample entry of a track."""

from __future__ import annotations

from struct import unpack_from

from cutstream.errors import UnsupportedImage
from cutstream.images.headers.boxes import Box
from cutstream.images.headers.types import CodePoints, Crop, Format

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


def cropped_by(data: bytes, properties: list[Box], width: int, height: int) -> tuple[int, int, Crop | None]:
    """Return width and height by the `clap` property (clean aperture), which HEVC needs for odd sizes, and its place.

    Raises ValueError for one that is not within the picture.
    """
    crops = [at for at, box in enumerate(properties) if box.kind == b"clap"]
    if not crops:
        return width, height, None
    if len(crops) > 1:
        raise UnsupportedImage("a picture that is cropped twice: save it again")
    turned = any(is_sideways(data, box) for box in properties[: crops[0]])
    whole_w, whole_h = (height, width) if turned else (width, height)
    w, w_divisor, h, h_divisor, x, x_divisor, y, y_divisor = unpack_from(">IIIIiIiI", data, properties[crops[0]].start)
    if not w_divisor * h_divisor * x_divisor * y_divisor:
        raise ValueError("its crop divides by 0")
    shown_w, shown_h = (2 * w + w_divisor) // (2 * w_divisor), (2 * h + h_divisor) // (2 * h_divisor)
    left = (2 * x + (whole_w - shown_w) * x_divisor) // (2 * x_divisor)
    top = (2 * y + (whole_h - shown_h) * y_divisor) // (2 * y_divisor)
    if left < 0 or top < 0 or left + shown_w > whole_w or top + shown_h > whole_h:
        raise ValueError("its crop reaches beyond the picture")
    return shown_w, shown_h, Crop(width, height, left, top)


def is_in_order(data: bytes, properties: list[Box]) -> bool:
    """Tell whether crop, turn and mirror come in this order (ISO/IEC 23000-22), or in one that gives the same."""
    kinds = [box.kind for box in properties if box.kind in (b"clap", b"irot", b"imir")]
    if kinds == [b"imir", b"irot"]:
        return not any(is_sideways(data, box) for box in properties)
    return kinds == [kind for kind in (b"clap", b"irot", b"imir") if kind in kinds]


def is_sideways(data: bytes, box: Box) -> bool:
    """Tell whether a property turns the picture by 90 or 270 degrees."""
    return box.kind == b"irot" and bool(data[box.start] & 1)


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
