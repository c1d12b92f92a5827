"""The memory that decoding a file takes at most, known from its header.

The worker reserves it before a photo is decoded, and a decoder process gets no more. So a file whose strips, tiles,
scans or metadata take more than a picture of its size needs fails by itself and harms nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from cutstream.images.header import Header

PROCESS_BYTES = 48_000_000  # of one decoder, besides the picture: threads, tables, what libraries load later
MARGIN = 1.25  # beyond what was measured


@dataclass(frozen=True, slots=True)
class _Peak:
    """Bytes at the peak, per byte of stored samples and per pixel, besides the file itself."""

    per_sample_byte: float
    per_pixel: float


_PEAKS = {
    "jpeg": _Peak(1.0, 8),
    "jpeg progressive": _Peak(3.0, 8),
    "png": _Peak(1.0, 8),
    "png progressive": _Peak(2.2, 8),
    "tiff": _Peak(2.2, 8),
    "gif": _Peak(1.0, 12),
    "webp": _Peak(1.0, 20),
    "avif": _Peak(3.0, 12),
    "heic": _Peak(3.0, 8),
    "bmp": _Peak(1.0, 10),
    "jpeg2000": _Peak(4.0, 12),
}
_MOST = _Peak(4.0, 20)


def decoder_bytes(header: Header, file_bytes: int) -> int:
    """Return the bytes that a decoder holds at most for a file of this size: the file, its samples and its pixels.

    What a process holds for any picture is not among them.
    """
    peak = _PEAKS.get(f"{header.format} progressive" if header.progressive else header.format, _MOST)
    samples = header.pixels * header.channels * (2 if header.bits > 8 else 1)
    return int(MARGIN * (file_bytes + peak.per_sample_byte * samples + peak.per_pixel * header.pixels))


def most_decoder_bytes(max_pixels: int, max_bytes: int) -> int:
    """Return a bound of `decoder_bytes` for all files within these limits."""
    return int(MARGIN * (max_bytes + max_pixels * (_MOST.per_sample_byte * 4 * 2 + _MOST.per_pixel)))
