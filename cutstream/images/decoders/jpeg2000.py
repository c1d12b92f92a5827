"""Decode JPEG 2000 with Pillow (OpenJPEG)."""

from __future__ import annotations

from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from cutstream.images.decoders.pillow import load
from cutstream.images.decoders.raster import Description, Raster
from cutstream.images.header import Header


def read(data: bytes, header: Header) -> Raster:
    """Decode one JP2 file or JPEG 2000 codestream. Raises `Undecodable`, `NotSupported`."""
    return load(Jpeg2KImageFile, data, (header.width, header.height), Description())
