"""Decode BMP with Pillow."""

from __future__ import annotations

from PIL.BmpImagePlugin import BmpImageFile

from cutstream.images.decoders.pillow import load
from cutstream.images.decoders.raster import Description, Raster
from cutstream.images.header import Header


def read(data: bytes, header: Header) -> Raster:
    """Decode one BMP. An alpha that is 0 everywhere means opaque. Raises `Undecodable`, `NotSupported`."""
    raster = load(BmpImageFile, data, (header.width, header.height), Description())
    if raster.alpha is not None and not raster.alpha.any():
        raster.alpha = None
    return raster
