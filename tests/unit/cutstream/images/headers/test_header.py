"""Format, size and limits of every accepted format; each parser has a test module of its own beside this one."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pillow

from cutstream.errors import ResolutionTooHigh, UnreadableImage, UnsupportedImage
from cutstream.images.header import FORMATS, read_header

MAX_PIXELS = 50_000_000
WIDTH, HEIGHT = 151, 101
PILLOW_NAMES = {"heic": "HEIF"}

pillow_heif.register_heif_opener()


def saved(format: str, mode: str = "RGB", **options: Any) -> bytes:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([x, y, x + y, 255 - y], axis=2).astype(np.uint8)
    buffer = BytesIO()
    Pillow.fromarray(pixels).convert(mode).save(buffer, PILLOW_NAMES.get(format, format), **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_header_tells_format_size_and_channels(format: str) -> None:
    header = read_header(saved(format), MAX_PIXELS)
    assert (header.format, header.width, header.height) == (format, WIDTH, HEIGHT)
    assert (header.bits, header.channels, header.pictures, header.progressive) == (8, 3, 1, False)


@pytest.mark.parametrize("format", [f for f in FORMATS if f not in ("jpeg", "gif", "bmp")])
def test_alpha_is_a_channel(format: str) -> None:
    header = read_header(saved(format, "RGBA"), MAX_PIXELS)
    assert (header.width, header.height, header.channels) == (WIDTH, HEIGHT, 4)


SIXTY_MEGAPIXELS = {
    "jpeg": b"\xff\xd8\xff\xe0\x00\x04AB\xff\xc0\x00\x11\x08"
    + struct.pack(">HH", 7500, 8000)
    + b"\3\1\x11\0\2\x11\0\3\x11\0\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 8000, 7500) + b"\x08\2\0\0\0" + bytes(4),
    "webp": b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + struct.pack("<HBHB", 7999, 0, 7499, 0),
    "tiff": b"II*\0\x08\0\0\0\x03\0"
    + struct.pack("<HHIIHHIIHHII", 256, 4, 1, 8000, 257, 4, 1, 7500, 258, 3, 1, 8)
    + bytes(4),
    "bmp": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 8000, -7500, 1, 24) + bytes(24),
    "jpeg2000": b"\xff\x4f\xff\x51\0\x2f\0\0" + struct.pack(">8IH", 8000, 7500, 0, 0, 8000, 7500, 0, 0, 1) + b"\7\1\1",
}


@pytest.mark.parametrize("data", SIXTY_MEGAPIXELS.values(), ids=SIXTY_MEGAPIXELS)
def test_sixty_megapixels_are_refused_from_the_header(data: bytes) -> None:
    with pytest.raises(ResolutionTooHigh, match=r"8000×7500 is 60\.0 megapixels, the limit is 50"):
        read_header(data, MAX_PIXELS)


@pytest.mark.parametrize(("name", "size"), [("width", (65_536, 1)), ("height", (1, 65_536))])
def test_a_side_is_limited(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(ResolutionTooHigh, match=f"the {name} is 65,536 pixels, the limit of a side is 65,535"):
        read_header(png_of(*size), MAX_PIXELS)
    assert read_header(png_of(65_535, 1), MAX_PIXELS).width == 65_535


def png_of(width: int, height: int) -> bytes:
    buffer = BytesIO()
    Pillow.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_the_limit_itself_is_allowed(format: str) -> None:
    data = saved(format)
    assert read_header(data, WIDTH * HEIGHT).pixels == WIDTH * HEIGHT
    with pytest.raises(ResolutionTooHigh):
        read_header(data, WIDTH * HEIGHT - 1)


@pytest.mark.parametrize("format", FORMATS)
def test_a_truncated_header_is_unreadable(format: str) -> None:
    with pytest.raises(UnreadableImage, match=f"the {format} header is truncated or damaged"):
        read_header(saved(format)[:20], MAX_PIXELS)


def test_an_empty_picture_is_unreadable() -> None:
    with pytest.raises(UnreadableImage, match="0×5"):
        read_header(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 0, 5) + b"\x08\2\0\0\0", MAX_PIXELS)


def test_a_refusal_says_what_the_file_is_and_what_is_accepted() -> None:
    with pytest.raises(
        UnsupportedImage, match=r"but a PDF: export the picture from it \(accepted: jpeg, png, webp, .*\)"
    ):
        read_header(b"%PDF-1.7", MAX_PIXELS)
