from __future__ import annotations

import struct

import numpy as np
import pytest

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from tests.support.pictures.heic import heic
from tests.support.pictures.heif_boxes import Margin, margined, with_property, without_margin
from tests.support.pictures.orientations import exif, stored
from tests.support.pictures.truth import matte, photo

WIDE: Margin = (206, 109, 104, 207)


@pytest.mark.parametrize("offset", [-18, 18, -60, 400])
def test_a_crop_beyond_the_picture_is_refused(offset: int) -> None:
    """libheif then returns fewer rows than it stated, or more."""
    file = heic(photo(61, 43))  # HEVC has even sides only, so the encoder states a crop
    at = file.index(b"clap") + 4
    crop = [*struct.unpack_from(">8i", file, at)]
    crop[6] = offset * crop[7]
    moved = file[:at] + struct.pack(">8i", *crop) + file[at + 32 :]
    with pytest.raises(UnreadableImage):
        decode(moved, read_header(moved, 1_000_000))


@pytest.mark.parametrize("part", range(1, 16))
def test_damage_that_libde265_conceals_is_refused(part: int) -> None:
    """Without libde265's warnings these files are decoded, and wrong."""
    file = heic(photo())
    at = file.index(b"mdat") + 4 + (len(file) - file.index(b"mdat") - 4) * part // 16
    damaged = file[:at] + bytes(8) + file[at + 8 :]
    with pytest.raises(UnreadableImage, match=r"its image data are damaged \((CTB outside|coded parameter)"):
        decode(damaged, read_header(damaged, 1_000_000))


def test_damaged_alpha_is_refused() -> None:
    opaque, file = heic(photo()), heic(np.dstack([photo(), matte()]))
    at = file.index(b"mdat") + (len(file) + len(opaque) - opaque.index(b"mdat") - file.index(b"mdat")) // 2
    damaged = file[:at] + bytes(8) + file[at + 8 :]
    with pytest.raises(UnreadableImage, match="its image data are damaged"):
        decode(damaged, read_header(damaged, 1_000_000))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_small_part_of_a_large_picture_is_cropped_and_turned(orientation: int) -> None:
    """libheif refuses crops that keep little."""
    samples = stored(photo(), orientation)
    file = without_margin(heic(margined(samples, WIDE), exif=exif(orientation)), samples, WIDE)
    header = read_header(file, 1_000_000)
    assert header.pixels < header.coded_pixels
    pixels = decode(file, header).pixels
    assert pixels.shape == photo().shape
    assert np.abs(pixels.astype(int) - photo()).mean() < 2


def test_alpha_is_cropped_with_its_picture() -> None:
    samples = np.dstack([photo(), matte()])
    file = without_margin(heic(margined(samples, WIDE)), samples, WIDE)
    image = decode(file, read_header(file, 1_000_000))
    assert image.alpha is not None
    assert image.alpha.shape == matte().shape
    assert np.abs(image.alpha.astype(int) - matte()).mean() < 2


def test_a_small_part_that_is_cropped_after_a_turn_is_refused() -> None:
    samples = np.pad(photo()[:42, :60], ((300, 300), (300, 300), (0, 0)))  # even sides, so the encoder crops nothing
    box = struct.pack(">I4s", 40, b"clap") + struct.pack(">IIIIiIiI", 60, 1, 42, 1, 0, 1, 0, 1)
    file = with_property(heic(samples, exif=exif(6)), box, last=True)
    with pytest.raises(UnsupportedImage, match="a crop that is not the first step"):
        decode(file, read_header(file, 1_000_000))
