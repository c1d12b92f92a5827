"""Encoded files as other readers see them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from cutstream.errors import InvalidOption
from cutstream.images import Pixels
from cutstream.images.encode import EXTENSIONS, MAX_SIDE, MEDIA_TYPES, encode
from tests.support.image_files import ADOBE_RGB, difference, opened


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_is_lossless_for_other_readers_too(photo: Pixels, matte: Pixels, channels: int) -> None:
    pixels = {1: matte, 3: photo, 4: np.dstack([photo, matte])}[channels]
    data = encode(pixels, "png")
    assert np.array_equal(np.asarray(Pillow.open(BytesIO(data))), pixels)
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(bgr if channels == 1 else bgr[..., [2, 1, 0, 3][:channels]], pixels)


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("size", [(1, 1), (1, 90_000), (3, 70_000), (5000, 20), (1200, 300)])
def test_png_of_several_blocks_is_lossless(size: tuple[int, int], channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, *channels), np.uint8)
    assert np.array_equal(np.asarray(Pillow.open(BytesIO(encode(pixels, "png")))), pixels)


def test_png_of_a_flat_picture_is_small() -> None:
    assert len(encode(np.full((1000, 1500, 3), 255, np.uint8), "png")) < 30_000


def test_a_view_encodes_like_its_copy(photo: Pixels) -> None:
    view = photo[10:90, 20:120]
    for format in MEDIA_TYPES:
        assert encode(view, format) == encode(view.copy(), format)


def test_webp_keeps_the_alpha(photo: Pixels, matte: Pixels) -> None:
    image = opened(encode(np.dstack([photo, matte]), "webp", 90))
    assert image.alpha is not None
    assert difference(image.alpha, matte) <= 1
    assert np.array_equal(image.alpha == 0, matte == 0)
    assert np.array_equal(image.alpha == 255, matte == 255)
    inside = matte == 255
    assert np.abs(image.pixels.astype(int) - photo)[inside].mean() < 6


@pytest.mark.parametrize("format", ["webp", "jpeg"])
@pytest.mark.parametrize("grey", [False, True])
def test_lossy_formats_come_close(photo: Pixels, matte: Pixels, format: Any, grey: bool) -> None:
    pixels = matte if grey else photo
    image = opened(encode(pixels, format, 95))
    expected = np.repeat(matte[..., None], 3, axis=2) if grey else photo
    assert np.abs(image.pixels.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_quality_trades_size(photo: Pixels, format: Any) -> None:
    assert len(encode(photo, format, 40)) < len(encode(photo, format, 90))


def test_jpeg_does_not_bleed_a_saturated_background() -> None:
    """Colours change between the two pixels of a halved chroma sample, where 4:2:0 would mix them."""
    half = np.full((32, 32, 3), (255, 0, 0), np.uint8)
    half[:, 15:] = (0, 0, 255)
    assert np.abs(opened(encode(half, "jpeg", 100)).pixels[:, 14:16].astype(int) - half[:, 14:16]).max() < 10


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_density_is_written(photo: Pixels, format: Any) -> None:
    assert opened(encode(photo, format, dpi=(300, 150))).dpi == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize(
    ("format", "alpha"), [("png", False), ("png", True), ("webp", False), ("webp", True), ("jpeg", False)]
)
def test_a_profile_comes_back_with_the_same_colours(photo: Pixels, matte: Pixels, format: Any, alpha: bool) -> None:
    pixels = np.dstack([photo, matte]) if alpha else photo
    image = opened(encode(pixels, format, 100, icc=ADOBE_RGB))
    assert image.icc == ADOBE_RGB
    visible = matte > 0 if alpha else np.ones_like(matte, bool)
    assert np.abs(image.pixels.astype(int) - photo)[visible].mean() < (1 if format == "png" else 3)


def test_a_profile_that_is_not_rgb_is_left_out(photo: Pixels, matte: Pixels) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert encode(photo, "png", icc=lab) == encode(photo, "png")
    assert encode(matte, "png", icc=ADOBE_RGB) == encode(matte, "png")


def test_jpeg_with_transparency_is_refused(photo: Pixels, matte: Pixels) -> None:
    with pytest.raises(InvalidOption, match="ask for png or webp"):
        encode(np.dstack([photo, matte]), "jpeg")


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_sides_that_a_format_cannot_hold_are_refused(format: Any) -> None:
    with pytest.raises(InvalidOption, match=f"{MAX_SIDE[format]} pixels a side"):
        encode(np.zeros((1, MAX_SIDE[format] + 1), np.uint8), format)
    assert encode(np.zeros((1, MAX_SIDE[format]), np.uint8), format)


def test_every_format_has_a_media_type_and_an_extension() -> None:
    assert MEDIA_TYPES == {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
    assert EXTENSIONS == {"png": "png", "webp": "webp", "jpeg": "jpg"}
