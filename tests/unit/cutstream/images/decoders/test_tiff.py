"""What libtiff only warns of: harmless in most cases, missing pixels in some."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from cutstream.errors import UnreadableImage
from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from tests.support.pictures.tiff_writer import Page, write_tiff
from tests.support.pictures.truth import photo

SHORT, LONG = 3, 4
DEFLATE = 8
BITS, STRIP_SIZES, OFFSETS = 258, 279, 273


def opened(data: bytes) -> Image:
    return decode(data, read_header(data, 50_000_000))


def saved(pixels: np.ndarray, compression: str) -> bytes:
    buffer = BytesIO()
    Pillow.fromarray(pixels).save(buffer, "TIFF", compression=compression)
    return buffer.getvalue()


def values_at(data: bytes, tag: int) -> tuple[int, int]:
    """Return where the values of a tag of the first directory lie, and how many there are."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for at in range(directory + 2, directory + 2 + 12 * count, 12):
        found, kind, number, value = struct.unpack_from("<HHII", data, at)
        if found == tag:
            width = {SHORT: 2, LONG: 4}[kind]
            return (value if number * width > 4 else at + 8), number
    raise AssertionError(tag)


def test_a_depth_that_is_stated_once_for_all_channels() -> None:
    image = opened(write_tiff([Page(photo(), tags={BITS: (SHORT, 8)})]))
    assert np.array_equal(image.pixels, photo())
    assert image.warnings == ()


def test_a_strip_of_more_than_fifty_megabytes() -> None:
    """libtiff's own limit, which libvips sets, would refuse it."""
    pixels = np.zeros((4200, 4200, 3), np.uint8)
    pixels[-1, -1] = 200
    page = Page(pixels, rows_per_strip=4200, compression=DEFLATE, encode=lambda rows: zlib.compress(rows, 0))
    image = opened(write_tiff([page]))
    assert np.array_equal(image.pixels[-1, -2:], pixels[-1, -2:])


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_strip_that_breaks_off_is_refused(compression: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = bytearray(saved(noise, compression))
    assert opened(bytes(file)).pixels.shape == noise.shape
    at, _ = values_at(file, STRIP_SIZES)
    (size,) = struct.unpack_from("<I", file, at)
    struct.pack_into("<I", file, at, size // 2)
    with pytest.raises(UnreadableImage, match="the tiff is truncated or damaged"):
        opened(bytes(file))


@pytest.mark.parametrize("offset", [0, 7, 0xFFFF_FFFF])
def test_a_strip_that_lies_nowhere_is_missing(offset: int) -> None:
    file = bytearray(write_tiff([Page(photo())]))
    at, count = values_at(file, OFFSETS)
    struct.pack_into("<I", file, at, offset)
    with pytest.raises(UnreadableImage, match=f"1 of its {count} strips"):
        opened(bytes(file))
