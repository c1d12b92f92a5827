"""The memory that decoding a file takes at most, known from its header.

The worker reserves it before a photo is decoded, and a decoder process gets no more. So a file whose strips, tiles,
scans or metadata take more than a picture of its size needs fails by itself and harms nobody.

Measured on 24 megapixels with `python -m benchmarks.micro.decoder_memory`: address space and resident memory, whichever
is more, of pictures without and with what costs most, which are a profile and an orientation. In bytes per pixel,
without the file:

    JPEG      3.6 to 9.6; in CMYK 11.2; progressive 8.7 to 15.6, in CMYK 16.1
    PNG       3.5 to 11.2; with 16 bits and alpha 13.6; interlaced 6.8 to 13.9
    TIFF      3.6 to 12.4; with 16 bits and alpha 12.4
    HEIC      8.0 to 8.3; with alpha 14.3
    AVIF      12.3 to 13.9; with alpha 17.6
    WebP      19.2; with alpha 20.3; lossless 21.4
    GIF 7.4, BMP 10.0, JPEG 2000 20.4; with alpha 25.8
"""

from __future__ import annotations

from dataclasses import dataclass

from cutstream.images.header import Header

PROCESS_BYTES = 68_000_000  # of one decoder, besides the picture: threads, tables, copies of a large profile
MARGIN = 1.1  # beyond what was measured


@dataclass(frozen=True, slots=True)
class _Peak:
    """Bytes at the peak, per byte of stored samples and per pixel, besides the file itself."""

    per_sample_byte: float
    per_pixel: float


_PEAKS = {
    "jpeg": _Peak(1.3, 6.5),
    "jpeg progressive": _Peak(3.0, 7.0),
    "png": _Peak(0.7, 9.5),
    "png progressive": _Peak(1.5, 9.5),
    "tiff": _Peak(1.0, 10.0),
    "gif": _Peak(1.0, 5.0),
    "webp": _Peak(1.0, 18.0),
    "avif": _Peak(1.5, 11.0),
    "heic": _Peak(1.5, 9.0),
    "bmp": _Peak(1.0, 8.0),
    "jpeg2000": _Peak(5.0, 6.5),
}
_MOST_SAMPLE_BYTES = 10  # CMYK and alpha of 16 bits
_MOST_PER_PIXEL = max(_MOST_SAMPLE_BYTES * peak.per_sample_byte + peak.per_pixel for peak in _PEAKS.values())


def decoder_bytes(header: Header, file_bytes: int) -> int:
    """Return the bytes that a decoder holds at most for a file of this size: the file, its samples and its pixels.

    What a process holds for any picture is not among them.
    """
    in_passes = _PEAKS.get(f"{header.format} progressive") if header.progressive else None
    peak = in_passes or _PEAKS[header.format]
    samples = header.coded_pixels * header.channels * (2 if header.bits > 8 else 1)
    return int(MARGIN * (file_bytes + peak.per_sample_byte * samples + peak.per_pixel * header.coded_pixels))


def most_decoder_bytes(max_pixels: int, max_bytes: int) -> int:
    """Return a bound of `decoder_bytes` for all files within these limits."""
    return int(MARGIN * (max_bytes + max_pixels * _MOST_PER_PIXEL))
