"""Decode JPEG 2000 with Pillow (OpenJPEG). Its profile is read here (ISO/IEC 15444-1, I.5.3.3)."""

from __future__ import annotations

import struct

from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from cutstream.images.decoders.pillow import load
from cutstream.images.decoders.raster import Description, Raster
from cutstream.images.header import Header
from cutstream.images.headers.boxes import boxes
from cutstream.images.headers.jpeg2000 import MAX_BOXES, SIGNATURE
from cutstream.images.headers.reading import Steps

RESTRICTED_ICC, ANY_ICC = 2, 3  # methods of a `colr` box


def read(data: bytes, header: Header) -> Raster:
    """Decode one JP2 file or JPEG 2000 codestream. Raises `Undecodable`, `NotSupported`."""
    about = Description()
    if data.startswith(SIGNATURE):
        about.icc = _read_profile(data, about)
    return load(Jpeg2KImageFile, data, (header.width, header.height), about)


def _read_profile(data: bytes, about: Description) -> bytes | None:
    """Return the profile of the first `colr` box, which alone counts, if it has one."""
    steps = Steps(MAX_BOXES, "boxes")
    try:
        for box in boxes(data, len(SIGNATURE), len(data), steps):
            if box.kind != b"jp2h":
                continue
            for inner in boxes(data, box.start, box.end, steps):
                if inner.kind == b"colr":
                    has_profile = data[inner.start] in (RESTRICTED_ICC, ANY_ICC)
                    return data[inner.start + 3 : inner.end] if has_profile else None
    except (ValueError, IndexError, struct.error):
        about.warn("unusable_profile", "the description of its colours is damaged: sRGB is assumed")
    return None
