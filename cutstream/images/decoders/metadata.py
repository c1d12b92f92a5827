"""Read what EXIF and the formats' own fields say: the orientation and the resolution. Damage is a warning, no error."""

from __future__ import annotations

import struct

from cutstream.images.decoders.raster import Description
from cutstream.images.headers.directory import Entry, Layout, entries, number, read_layout, whole_number

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 274, 282, 283, 296
INCH, CENTIMETRE = 2, 3
CM_PER_INCH = 2.54
METRES_PER_INCH = 0.0254
DAMAGE = (struct.error, ValueError, ZeroDivisionError, OverflowError)
# What every output format can hold: the density of a JPEG has 16 bits and no fraction.
MIN_DPI, MAX_DPI = 1.0, 65_535.0


def read_exif(exif: bytes, about: Description) -> None:
    """Read orientation and resolution of an EXIF block, with or without `Exif\\0\\0` before it.

    The resolution counts only if the format itself has stated none.
    """
    found = _open(exif, about)
    if found:
        read_tags(*found, about)


def read_resolution(exif: bytes, about: Description) -> None:
    """Read the resolution of an EXIF block alone."""
    found = _open(exif, about)
    if found:
        about.dpi = _resolution(found[0], found[1], _tags(*found, about), about)


def _open(exif: bytes, about: Description) -> tuple[bytes, Layout, int] | None:
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        return exif, *read_layout(exif)
    except DAMAGE:
        about.warn("unusable_metadata", "the EXIF data are damaged: orientation and resolution are unknown")
        return None


def read_tags(data: bytes, layout: Layout, at: int, about: Description) -> None:
    """Read orientation and resolution of the directory at `at`."""
    tags = _tags(data, layout, at, about)
    about.orientation = _orientation(data, layout, tags, about)
    if about.dpi is None:
        about.dpi = _resolution(data, layout, tags, about)


def _tags(data: bytes, layout: Layout, at: int, about: Description) -> dict[int, Entry]:
    tags: dict[int, Entry] = {}
    try:
        for entry in entries(data, layout, at):
            tags.setdefault(entry.tag, entry)
    except DAMAGE:
        about.warn("unusable_metadata", "the EXIF data are damaged: what can be read of them is used")
    return tags


def _orientation(data: bytes, layout: Layout, tags: dict[int, Entry], about: Description) -> int:
    if ORIENTATION not in tags:
        return 1
    try:
        value = whole_number(data, layout, tags[ORIENTATION])
    except DAMAGE:
        value = -1
    if value == 0:  # many programs write it for "unknown"
        return 1
    if not 1 <= value <= 8:
        about.warn("unusable_metadata", "the orientation is none of 1 to 8: the image is taken as it is stored")
        return 1
    return value


def _resolution(data: bytes, layout: Layout, tags: dict[int, Entry], about: Description) -> tuple[float, float] | None:
    if X_RESOLUTION not in tags or Y_RESOLUTION not in tags:
        return None
    try:
        unit = whole_number(data, layout, tags[RESOLUTION_UNIT]) if RESOLUTION_UNIT in tags else INCH
        x, y = (number(data, layout, tags[tag]) for tag in (X_RESOLUTION, Y_RESOLUTION))
    except DAMAGE:
        about.warn("unusable_metadata", "the resolution cannot be read, and is ignored")
        return None
    if unit not in (INCH, CENTIMETRE):  # 1 is an aspect ratio
        return None
    scale = CM_PER_INCH if unit == CENTIMETRE else 1.0
    return check_dpi(x * scale, y * scale, about)


def check_dpi(x: float, y: float, about: Description) -> tuple[float, float] | None:
    """Return a resolution in dots per inch if it is one that every output can hold, else None and a warning.

    0 × 0 means that it is unknown, and needs no warning.
    """
    if x == y == 0:
        return None
    if MIN_DPI <= x <= MAX_DPI and MIN_DPI <= y <= MAX_DPI:
        return x, y
    about.warn("unusable_metadata", f"a resolution of {x:.6g} × {y:.6g} dots per inch is ignored")
    return None
