"""The header of a WebP (RFC 9649)."""

from __future__ import annotations

from struct import unpack_from

from cutstream.images.headers.types import Header

ALPHA, ANIMATION = 0x10, 0x02  # flags of VP8X
MAX_CHUNKS = 20_000


def read_webp(data: bytes) -> Header:
    match data[12:16]:
        case b"VP8X":
            return _read_extended(data)
        case b"VP8L":
            return _read_lossless(data)
        case b"VP8 ":
            return _read_lossy(data)
    raise ValueError("no image chunk")


def _read_extended(data: bytes) -> Header:
    w, w_high, h, h_high = unpack_from("<HBHB", data, 24)
    flags = data[20]
    return Header(
        "webp",
        1 + w + (w_high << 16),
        1 + h + (h_high << 16),
        channels=4 if flags & ALPHA else 3,
        pictures=_count_frames(data) if flags & ANIMATION else 1,
    )


def _read_lossless(data: bytes) -> Header:
    (bits,) = unpack_from("<I", data, 21)
    if data[20] != 0x2F:
        raise ValueError("no lossless signature")
    return Header("webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), channels=4 if bits >> 28 & 1 else 3)


def _read_lossy(data: bytes) -> Header:
    w, h = unpack_from("<HH", data, 26)
    if data[23:26] != b"\x9d\x01\x2a":
        raise ValueError("no key frame")
    return Header("webp", w & 0x3FFF, h & 0x3FFF)


def _count_frames(data: bytes) -> int:
    """Return the number of frames. Chunks have even lengths; a count that is cut short is still several."""
    at, frames = 12, 0
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            break
        (length,) = unpack_from("<I", data, at + 4)
        frames += data[at : at + 4] == b"ANMF"
        at += 8 + length + (length & 1)
    return max(1, frames)
