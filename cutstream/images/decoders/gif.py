"""Decode the first frame of a GIF with libvips (libnsgif), on its canvas."""

from __future__ import annotations

from cutstream.images.decoders.libvips import load
from cutstream.images.decoders.raster import Description, Model, Raster, split
from cutstream.images.header import Header

MODELS: dict[int, Model] = {1: "grey", 2: "grey", 3: "rgb", 4: "rgb"}  # by channels


def read(data: bytes, header: Header) -> Raster:
    """Decode one GIF. What the frame leaves free of the canvas is transparent. Raises `Undecodable`."""
    loaded = load("gifload_source", data, (header.width, header.height), high_bytes=True)
    return split(loaded.samples, MODELS[loaded.samples.shape[2]], Description())
