"""Find out why libpng refused the image data of a PNG: libvips does not pass its reason on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

OUTPUT_BYTES = 1 << 20
WRONG = "its image data are damaged"
CHECKSUM = "the checksum of its image data is wrong"
ENDS_EARLY = "it ends too early"


def reason(chunks: Iterable[bytes | memoryview]) -> str:
    """Return in plain words what is wrong with IDAT chunks, each view with one or more of them."""
    stream = zlib.decompressobj()
    try:
        for body, intact in _bodies(chunks):
            if not intact:
                return CHECKSUM
            while body and not stream.eof:
                stream.decompress(body, OUTPUT_BYTES)
                body = stream.unconsumed_tail
    except zlib.error as error:
        return CHECKSUM if "data check" in str(error) else WRONG
    return WRONG if stream.eof else ENDS_EARLY


def _bodies(chunks: Iterable[bytes | memoryview]) -> Iterator[tuple[bytes, bool]]:
    """Yield the data of each chunk, and whether its checksum is right."""
    for view in chunks:
        at = 0
        while at + 12 <= len(view):
            (length,) = struct.unpack_from(">I", view, at)
            end = at + 8 + length
            body = bytes(view[at + 8 : end])
            yield body, zlib.crc32(view[at + 4 : end]) == int.from_bytes(view[end : end + 4], "big")
            at = end + 4
