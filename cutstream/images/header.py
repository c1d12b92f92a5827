"""Read the format and the size of an image from its header, before anything is decoded.

This runs in the worker itself, so no image library gets the bytes here. `decode` checks that it reads the same size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import get_args

from cutstream.errors import ResolutionTooHigh, UnreadableImage, UnsupportedImage
from cutstream.images.headers import heif
from cutstream.images.headers.bmp import is_bmp, read_bmp
from cutstream.images.headers.gif import read_gif
from cutstream.images.headers.identify import identify
from cutstream.images.headers.jpeg import read_jpeg
from cutstream.images.headers.jpeg2000 import CODESTREAM, SIGNATURE, read_jpeg2000
from cutstream.images.headers.png import read_png
from cutstream.images.headers.tiff import read_tiff
from cutstream.images.headers.types import CodePoints, Crop, Format, Header
from cutstream.images.headers.webp import read_webp

__all__ = ["FORMATS", "CodePoints", "Crop", "Format", "Header", "read_header"]

FORMATS: tuple[Format, ...] = get_args(Format)
READERS: dict[Format, Callable[[bytes], Header]] = {
    "jpeg": read_jpeg,
    "png": read_png,
    "webp": read_webp,
    "avif": heif.read_heif,
    "heic": heif.read_heif,
    "tiff": read_tiff,
    "gif": read_gif,
    "bmp": read_bmp,
    "jpeg2000": read_jpeg2000,
}
DAMAGES = (struct.error, ValueError, LookupError, OverflowError)
MAX_SIDE = 65_535  # of JPEG and GIF. Each row costs a decoder time, which the number of pixels does not bound
PADDING = 64  # HEVC codes blocks of up to this size, of which a crop leaves what belongs to the picture
JPEG_LS = b"\xff\xd8\xff\xf7"


def read_header(data: bytes, max_pixels: int) -> Header:
    """Read a file's header in time linear in its size: 2 to 40 µs for ordinary files, 50 ms at most for 30 MB.

    Raises `UnsupportedImage`, `UnreadableImage`, or `ResolutionTooHigh` above `max_pixels` or `MAX_SIDE`.
    """
    name = _sniff(data)
    if name is None:
        what, advice = identify(data)
        accepted = ", ".join(FORMATS)
        raise UnsupportedImage(f"not an image of an accepted format but {what}: {advice} (accepted: {accepted})")
    try:
        header = READERS[name](data)
    except DAMAGES as error:
        raise UnreadableImage(f"the {name} header is truncated or damaged: {_reason(error)}") from error
    if header.width < 1 or header.height < 1:
        raise UnreadableImage(f"the {name} header gives an empty image, {header.width}×{header.height}")
    _check_size(header, max_pixels)
    return header


def _check_size(header: Header, max_pixels: int) -> None:
    for name, side in (("width", header.width), ("height", header.height)):
        if side > MAX_SIDE:
            raise ResolutionTooHigh(
                f"the {name} is {side:,} pixels, the limit of a side is {MAX_SIDE:,}: scale it down"
            )
    if header.pixels > max_pixels:
        size = f"{header.width}×{header.height} is {header.pixels / 1e6:.1f} megapixels"
        raise ResolutionTooHigh(f"{size}, the limit is {max_pixels / 1e6:g}: scale it down")
    padded = (header.width + PADDING) * (header.height + PADDING)
    if header.coded_pixels > max(max_pixels, padded):
        held = f"{header.coded_pixels / 1e6:.1f} megapixels are stored for a picture of {header.pixels / 1e6:.1f}"
        raise ResolutionTooHigh(f"{held}, the limit is {max_pixels / 1e6:g}: save it without what is cut off")


def _reason(error: Exception) -> str:
    match error:
        case KeyError(args=(bytes() as kind,)):
            return f"no `{kind.decode('latin-1')}` box"
        case ValueError():
            return str(error)
    return "it ends too early"


def _sniff(data: bytes) -> Format | None:
    """Return the format by the first bytes, or None. Of AVIF and HEIC, the picture's codec decides later."""
    if data[:2] == b"\xff\xd8" and data[2:3] in (b"", b"\xff") and not data.startswith(JPEG_LS):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data.startswith((SIGNATURE, CODESTREAM)):
        return "jpeg2000"
    if is_bmp(data):
        return "bmp"
    return _sniff_heif(data)


def _sniff_heif(data: bytes) -> Format | None:
    if data[4:8] != b"ftyp":
        return None
    brands = heif.brands(data)
    if not heif.BRANDS.intersection(brands):
        return None
    return "avif" if brands[0] in (b"avif", b"avis") or b"avif" in brands else "heic"
