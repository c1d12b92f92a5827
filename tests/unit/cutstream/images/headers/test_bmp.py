from __future__ import annotations

import struct

import pytest

from cutstream.errors import UnsupportedImage
from cutstream.images.header import Header, read_header

MAX_PIXELS = 50_000_000


def bmp(depth: int = 24, compression: int = 0, size: int = 40, height: int = 40, alpha_mask: int = 0) -> bytes:
    if size == 12:
        return b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 50, height, 1, depth)
    fields = struct.pack("<IiiHHI", size, 50, height, 1, depth, compression) + bytes(32) + struct.pack("<I", alpha_mask)
    return b"BM" + bytes(12) + (fields + bytes(100))[:size] + bytes(100)


def read(data: bytes) -> Header:
    return read_header(data, MAX_PIXELS)


@pytest.mark.parametrize("size", [12, 16, 40, 52, 56, 64, 108, 124])
@pytest.mark.parametrize("depth", [1, 4, 8, 24])
def test_all_headers_and_depths(size: int, depth: int) -> None:
    header = read(bmp(depth, size=size))
    assert (header.format, header.width, header.height, header.channels) == ("bmp", 50, 40, 3)
    assert header.bits == min(depth, 8)


def test_the_order_of_the_rows_is_no_size() -> None:
    assert read(bmp(height=-40)).height == 40


def test_alpha_is_a_channel_if_it_has_a_mask() -> None:
    assert read(bmp(32, 3, 124, alpha_mask=0xFF000000)).channels == 4
    assert read(bmp(32, 3, 124)).channels == 3
    assert read(bmp(32)).channels == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bmp(0, 4), "JPEG or PNG inside"),
        (bmp(0, 5), "JPEG or PNG inside"),
        (bmp(3), "3 bits per pixel"),
        (bmp(24, 1), "compression 1"),
        (bmp(24, 99), "compression 99"),
    ],
)
def test_varieties_that_are_not_read_are_no_damage(data: bytes, message: str) -> None:
    with pytest.raises(UnsupportedImage, match=message):
        read(data)
