"""The header of a BMP: a Windows or OS/2 bitmap."""

from __future__ import annotations

from struct import unpack_from

from cutstream.errors import UnsupportedImage
from cutstream.images.headers.types import Header

CORE = 12  # the size of the oldest header, with 16-bit sides and no compression
SIZES = frozenset({CORE, 16, 40, 52, 56, 64, 108, 124})
RAW, RLE8, RLE4, MASKS, JPEG, PNG, MASKS_AND_ALPHA = 0, 1, 2, 3, 4, 5, 6
DEPTHS = {RAW: (1, 2, 4, 8, 16, 24, 32), RLE8: (8,), RLE4: (4,), MASKS: (16, 24, 32), MASKS_AND_ALPHA: (16, 32)}


def is_bmp(data: bytes) -> bool:
    """Tell a BMP from a text that begins with BM."""
    return data[:2] == b"BM" and len(data) >= 18 and int.from_bytes(data[14:18], "little") in SIZES


def read_bmp(data: bytes) -> Header:
    """Return the header. The sign of the height only tells the order of the rows."""
    (size,) = unpack_from("<I", data, 14)
    compression, alpha_mask = RAW, 0
    if size == CORE:
        width, height, _, depth = unpack_from("<HHHH", data, 18)
    else:
        width, height, _, depth = unpack_from("<iiHH", data, 18)
        if size >= 40:
            (compression,) = unpack_from("<I", data, 30)
        if size >= 56 and size != 64:
            (alpha_mask,) = unpack_from("<I", data, 66)
    if compression in (JPEG, PNG):
        raise UnsupportedImage("a BMP with a JPEG or PNG inside, meant for printers: save it as JPEG or PNG")
    if depth not in DEPTHS.get(compression, ()):
        raise UnsupportedImage(f"a BMP of {depth} bits per pixel with compression {compression}: save it as PNG")
    bits = depth if depth <= 8 else 8
    alpha = depth == 32 and alpha_mask != 0 and compression != RAW
    return Header("bmp", abs(width), abs(height), bits=bits, channels=4 if alpha else 3)
