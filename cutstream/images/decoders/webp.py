"""Decode WebP with Pillow (libwebp), from a copy that holds only the chunks that the pixels need.

Of an animation the first frame is decoded, on its canvas. libwebp refuses files for damage in chunks that only
describe the picture, and for frames after the first.
"""

from __future__ import annotations

import struct

from PIL.WebPImagePlugin import WebPImageFile

from cutstream.images.decoders.failures import Undecodable
from cutstream.images.decoders.metadata import read_exif
from cutstream.images.decoders.pillow import load
from cutstream.images.decoders.raster import Description, Raster
from cutstream.images.header import Header

NEEDED = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
PICTURES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
KNOWN = NEEDED | {b"ICCP", b"EXIF", b"XMP "}
PRINTABLE = frozenset(range(32, 127))  # what names of chunks consist of
MAX_CHUNKS = 100_000  # further ones are frames, or describe the picture
PROFILE_AND_METADATA = 0b0010_1100  # flags of VP8X: ICCP, EXIF, XMP


def read(data: bytes, header: Header) -> Raster:
    """Decode one WebP. Raises `Undecodable`."""
    about = Description()
    needed, describing = _read_chunks(data, about)
    about.icc = describing.get(b"ICCP")
    if b"EXIF" in describing:
        read_exif(describing[b"EXIF"], about)
    whole = b"".join([b"RIFF", struct.pack("<I", 4 + sum(map(len, needed))), b"WEBP", *needed])
    return load(WebPImageFile, whole, (header.width, header.height), about)


def _read_chunks(data: bytes, about: Description) -> tuple[list[bytes | memoryview], dict[bytes, bytes]]:
    needed: list[bytes | memoryview] = []
    describing: dict[bytes, bytes] = {}
    view, at, found = memoryview(data), 12, False
    whole = 8 + int.from_bytes(data[4:8], "little")
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data) or (found and at >= whole):
            if at < len(data) < whole:
                about.warn("damaged_data", "the end of the file is missing; all pixels are there")
            break
        kind, size = struct.unpack_from("<4sI", data, at)
        end = at + 8 + size
        if found and not PRINTABLE.issuperset(kind):  # bytes of the picture are missing, or too many
            raise Undecodable("its structure is damaged")
        if end > len(data):
            if kind in NEEDED and not found:
                raise Undecodable("its image data break off")
            if kind not in KNOWN:
                raise Undecodable("its structure is damaged")
            about.warn("damaged_data", "the end of the file is missing; all pixels are there")
            break
        if found and kind == b"ALPH":
            raise Undecodable("its transparency comes after its colours")
        if kind in NEEDED and not found:
            chunk = view[at:end]
            needed.append(_without_flags(chunk) if kind == b"VP8X" else chunk)
            needed.append(bytes(size % 2))
            found = kind in PICTURES
        elif kind in (b"ICCP", b"EXIF"):
            describing.setdefault(kind, data[at + 8 : end])
        at = end + size % 2
    if not found:
        raise Undecodable("it has no image data")
    return needed, describing


def _without_flags(chunk: memoryview) -> bytes:
    """Return a VP8X chunk that announces no profile and no metadata."""
    changed = bytearray(chunk)
    if len(changed) > 8:
        changed[8] &= ~PROFILE_AND_METADATA & 0xFF
    return bytes(changed)
