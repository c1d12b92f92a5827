"""Decode AVIF with Pillow (libavif and dav1d), with one thread.

The orientation is that of the properties `irot` and `imir`; EXIF's is ignored, as HEIF (ISO/IEC 23008-12) demands.
Pillow leaves it, and the crop by `clap`, to others.
"""

from __future__ import annotations

import re

import numpy as np
from PIL import AvifImagePlugin
from PIL.AvifImagePlugin import AvifImageFile

from cutstream.images.colour_spaces import by_code_points
from cutstream.images.decoders import heif_exif
from cutstream.images.decoders.pillow import load
from cutstream.images.decoders.raster import Description, Raster
from cutstream.images.header import CodePoints, Header

AvifImagePlugin.DEFAULT_MAX_THREADS = 1
EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{7,9})Exif", re.DOTALL)


def read(data: bytes, header: Header) -> Raster:
    """Decode the primary image. Raises `Undecodable`."""
    about = Description()
    # Pillow refuses the picture if its EXIF is damaged.
    without_exif = EXIF_ITEM.sub(rb"\1skip", data) if b"Exif" in data else data
    crop = header.crop
    size = (crop.coded_width, crop.coded_height) if crop else (header.width, header.height)
    raster = load(AvifImageFile, without_exif, size, about)
    if crop:
        rows, columns = slice(crop.top, crop.top + header.height), slice(crop.left, crop.left + header.width)
        raster.samples = np.ascontiguousarray(raster.samples[rows, columns])
        raster.alpha = None if raster.alpha is None else np.ascontiguousarray(raster.alpha[rows, columns])
    heif_exif.describe(data, about, turned=False)
    state_colour(about, header.colour)
    return raster


def state_colour(about: Description, points: CodePoints | None) -> None:
    """Take `nclx` for the colour space, unless there is a profile, which comes first."""
    if points is None or about.icc is not None:
        return
    space = by_code_points(points)
    if space is None:
        about.warn("unusable_profile", "the code points of its colour space are reserved: sRGB is assumed")
    elif not space.is_srgb:
        about.colour = space
