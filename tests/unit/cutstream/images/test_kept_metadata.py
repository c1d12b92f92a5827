"""A file states the source's resolution and profile if its format can hold them, and is written without otherwise."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from cutstream.images.encode import encode, holds_profile, holds_resolution

PIXELS = np.full((2, 3, 3), 128, np.uint8)
GREY = np.full((2, 3), 128, np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()

HELD: list[tuple[Any, tuple[float, float]]] = [
    ("jpeg", (0.6, 65535.4)),
    ("jpeg", (72.4, 300)),
    ("png", (0.02, 54_545_000)),
    ("png", (70_000, 300)),
]
LOST: list[tuple[Any, tuple[float, float]]] = [
    ("jpeg", (65535.6, 300)),
    ("jpeg", (300, 70_000)),
    ("jpeg", (0.4, 300)),
    ("jpeg", (4e9, 4e9)),
    ("png", (54_547_000, 300)),
    ("png", (300, 0.01)),
    ("png", (4e9, 1e300)),
    ("webp", (300, 300)),
]


def info(data: bytes) -> dict[Any, Any]:
    with Pillow.open(BytesIO(data)) as image:
        image.load()
        return image.info


@pytest.mark.parametrize(("format", "dpi"), HELD)
@pytest.mark.parametrize("icc", [None, SRGB])
def test_a_resolution_that_the_format_can_hold_is_written(format: Any, dpi: tuple[float, float], icc: Any) -> None:
    assert holds_resolution(format, dpi)
    rounding = 0.5 if format == "jpeg" else 0.0128  # a dot per inch, or half a dot per metre
    assert info(encode(PIXELS, format, icc=icc, dpi=dpi))["dpi"] == pytest.approx(dpi, abs=rounding)


@pytest.mark.parametrize(("format", "dpi"), LOST)
@pytest.mark.parametrize("icc", [None, SRGB])
def test_one_that_it_cannot_hold_is_left_out(format: Any, dpi: tuple[float, float], icc: Any) -> None:
    assert not holds_resolution(format, dpi)
    assert encode(PIXELS, format, icc=icc, dpi=dpi) == encode(PIXELS, format, icc=icc)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("icc", [b"", b"x", b"\0" * 200, SRGB[:200], LAB, bytes(20_000_000)])
def test_a_profile_that_cannot_be_used_is_left_out(format: Any, icc: bytes) -> None:
    assert not holds_profile(format, icc)
    assert "icc_profile" not in info(encode(PIXELS, format, icc=icc))


def test_a_profile_larger_than_a_jpeg_holds_is_left_out_there_only() -> None:
    # The size in the profile's header says where it ends: what follows is dropped by no one.
    large = (255 * 65519 + 1).to_bytes(4, "big") + SRGB[4:] + bytes(255 * 65519 + 1 - len(SRGB))
    assert (holds_profile("png", large), holds_profile("jpeg", large)) == (True, False)
    assert "icc_profile" not in info(encode(PIXELS, "jpeg", icc=large))
    largest = (255 * 65519).to_bytes(4, "big") + large[4:-1]
    assert info(encode(PIXELS, "jpeg", icc=largest))["icc_profile"] == largest


def test_a_grey_file_has_no_profile() -> None:
    assert "icc_profile" not in info(encode(GREY, "png", icc=SRGB))
