"""Decode BMP with Pillow; pixels whose channels are placed by masks are taken apart here, which Pillow does for a few.

An alpha that is 0 everywhere means opaque: many programs leave it so.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile

from cutstream.images.decoders.failures import NotSupported, Undecodable
from cutstream.images.decoders.metadata import METRES_PER_INCH, check_dpi
from cutstream.images.decoders.pillow import load
from cutstream.images.decoders.raster import Description, Raster
from cutstream.images.header import Header

FILE_HEADER, INFO_HEADER = 14, 40
BITFIELDS, JPEG, PNG, ALPHA_BITFIELDS = 3, 4, 5, 6
RUNS = (1, 2)  # of 8 bits, of 4 bits
MAX_RUN_BYTES = 8_000_000  # Pillow takes 1 µs for each run, of two bytes


def read(data: bytes, header: Header) -> Raster:
    """Decode one BMP. Raises `Undecodable`, `NotSupported`, struct.error."""
    about = Description()
    (size,) = struct.unpack_from("<I", data, FILE_HEADER)
    bits, compression = struct.unpack_from("<HI", data, FILE_HEADER + 14) if size >= INFO_HEADER else (0, 0)
    if compression in (JPEG, PNG):
        raise NotSupported("a BMP that holds a JPEG or a PNG is not supported: send what it holds")
    if compression in (BITFIELDS, ALPHA_BITFIELDS) and bits in (16, 32):
        raster = _read_masked(data, header, size, bits, compression, about)
    else:
        if compression in RUNS:
            data = _without_rest(data, header)
        raster = load(BmpImageFile, data, (header.width, header.height), about)
    if raster.alpha is not None and not raster.alpha.any():
        raster.alpha = None
    return raster


def _without_rest(data: bytes, header: Header) -> bytes:
    """Return a file without what follows the longest runs that its picture can need: Pillow reads on to the end."""
    (begin,) = struct.unpack_from("<I", data, 10)
    longest = (2 * header.width + 4) * header.height + 2  # each pixel a run of its own, each row with an end
    if min(longest, len(data) - begin) > MAX_RUN_BYTES:
        raise NotSupported(f"a BMP of more than {MAX_RUN_BYTES:,} bytes of runs takes too long: save it as PNG")
    return data[: begin + longest]


def _read_masked(data: bytes, header: Header, size: int, bits: int, compression: int, about: Description) -> Raster:
    begin, _, _, height = struct.unpack_from("<IIii", data, 10)
    x, y = struct.unpack_from("<ii", data, FILE_HEADER + 24)
    if x or y:
        about.dpi = check_dpi(x * METRES_PER_INCH, y * METRES_PER_INCH, about)
    with_alpha = compression == ALPHA_BITFIELDS or size >= 56
    masks = struct.unpack_from("<4I" if with_alpha else "<3I", data, FILE_HEADER + INFO_HEADER)
    row = -(-header.width * bits // 32) * 4
    if begin + row * header.height > len(data):
        raise Undecodable("rows are missing")
    values = np.frombuffer(data, f"<u{bits // 8}", row * header.height * 8 // bits, begin)
    values = values.reshape(header.height, -1)[:: 1 if height < 0 else -1, : header.width]
    pixels = np.stack([_channel(values, mask) for mask in masks[:3]], axis=-1)
    alpha = _channel(values, masks[3]) if with_alpha and masks[3] else None
    return Raster(pixels, "rgb", alpha, about)


def _channel(values: NDArray[np.uint16] | NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """Return the bits under a mask, scaled to 0..255."""
    mask &= np.iinfo(values.dtype).max
    if mask == 0:
        return np.zeros(values.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    top = mask >> lowest
    if top & (top + 1):
        raise NotSupported("a BMP whose channels have gaps is not supported: save it with 24 bits")
    levels = (values & values.dtype.type(mask)) >> values.dtype.type(lowest)
    if top == 255:
        return levels.astype(np.uint8)
    return ((levels.astype(np.uint64) * 255 + top // 2) // top).astype(np.uint8)
