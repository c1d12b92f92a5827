"""Read the resolution of AVIF and HEIC, which only their EXIF states. Its orientation does not count there."""

from __future__ import annotations

import struct

from cutstream.images.decoders.metadata import read_resolution
from cutstream.images.decoders.raster import Description
from cutstream.images.headers.boxes import boxes
from cutstream.images.headers.heif import MAX_BOXES
from cutstream.images.headers.heif_properties import is_sideways
from cutstream.images.headers.item_data import read_beginnings
from cutstream.images.headers.items import Items, read_items
from cutstream.images.headers.reading import Steps

EXIF_BYTES = 65_536


def describe(data: bytes, about: Description, *, turned: bool) -> None:
    """Put the resolution into `about`. With `turned`, the pixels are upright already, and it has to follow them."""
    try:
        steps = Steps(MAX_BOXES, "boxes")
        meta = next((box for box in boxes(data, 0, len(data), steps) if box.kind == b"meta"), None)
        if meta is None:  # a sequence alone
            return
        items = read_items(data, meta, steps)
        exif = _read(data, items)
        sideways = turned and any(is_sideways(data, box) for box in items.of(items.primary))
    except (struct.error, ValueError, LookupError, OverflowError):
        about.warn("unusable_metadata", "the EXIF data are damaged: the resolution is unknown")
        return
    if exif is None:
        return
    read_resolution(exif, about)
    if about.dpi and sideways:
        about.dpi = about.dpi[::-1]


def _read(data: bytes, items: Items) -> bytes | None:
    """Return the EXIF block of the primary item, if there is one (ISO/IEC 23008-12, annex A)."""
    found = {item for item, kind in items.kinds.items() if kind == b"Exif"}
    describing = {item for item in found if items.primary in items.references.get((b"cdsc", item), ())}
    item = min(describing, default=None)
    if item is None:
        return None
    body = read_beginnings(data, items.parts, {item}, EXIF_BYTES, Steps(MAX_BOXES, "places of items"))[item]
    return body[4 + int.from_bytes(body[:4], "big") :]
