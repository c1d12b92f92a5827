"""Profiles against the mathematics that they stand for."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from cutstream.images import Pixels, colour
from tests.support.image_files import ADOBE_RGB, ADOBE_RGB_PRIMARIES, difference, opened, rgb_profile, saved
from tests.support.pictures.colorimetry import from_ink
from tests.support.pictures.profiles import cmyk_profile

DISPLAY_P3_PRIMARIES = {"r": (0.680, 0.320), "g": (0.265, 0.690), "b": (0.150, 0.060)}


def test_adobe_rgb_comes_to_known_srgb_values() -> None:
    """Reference values by the published matrices; a photo shown without conversion would look dull."""
    adobe = np.array([[[200, 100, 50], [100, 150, 120], [128, 128, 128]]], np.uint8)
    image = opened(saved(adobe, "PNG", icc_profile=ADOBE_RGB))
    assert difference(image.pixels, srgb_of(adobe, ADOBE_RGB_PRIMARIES, 563 / 256)) <= 1
    assert difference(image.pixels, adobe) > 10
    assert image.icc == ADOBE_RGB


def test_display_p3_comes_to_known_srgb_values(photo: Pixels) -> None:
    p3 = rgb_profile(DISPLAY_P3_PRIMARIES, 2.2)
    image = opened(saved(photo, "TIFF", icc_profile=p3))
    expected = srgb_of(photo, DISPLAY_P3_PRIMARIES, round(2.2 * 256) / 256)
    assert np.percentile(np.abs(image.pixels.astype(int) - expected), 99) <= 1


def test_srgb_under_any_name_is_left_alone(photo: Pixels) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = opened(saved(photo, "PNG", icc_profile=srgb))
    assert difference(image.pixels, photo) == 0
    assert image.icc == srgb


@pytest.mark.parametrize("icc", [b"not a profile", ADOBE_RGB[:200]], ids=["garbage", "truncated"])
def test_a_damaged_profile_is_ignored(photo: Pixels, icc: bytes) -> None:
    assert difference(opened(saved(photo, "PNG", icc_profile=icc)).pixels, photo) == 0


def test_a_profile_of_other_channels_is_ignored(photo: Pixels) -> None:
    grey = photo[..., 0].copy()
    assert difference(opened(saved(grey, "PNG", icc_profile=ADOBE_RGB)).pixels[..., 0], grey) == 0


def test_lab_tiff(photo: Pixels) -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Pillow.fromarray(photo), to_lab)
    assert lab is not None
    del lab.info["icc_profile"]
    assert np.abs(opened(saved(lab, "TIFF")).pixels.astype(int) - photo).mean() < 2


def srgb_of(pixels: Pixels, primaries: dict[str, tuple[float, float]], gamma: float) -> Pixels:
    def to_xyz(corners: dict[str, tuple[float, float]]) -> np.ndarray:
        xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in corners.values()]).T
        return xyz * np.linalg.solve(xyz, np.array([0.95047, 1, 1.08883]))

    srgb = {"r": (0.64, 0.33), "g": (0.30, 0.60), "b": (0.15, 0.06)}
    linear = (pixels / 255) ** gamma @ (np.linalg.inv(to_xyz(srgb)) @ to_xyz(primaries)).T
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


def test_cmyk_without_a_profile_is_named(photo: Pixels) -> None:
    image = opened(saved(Pillow.fromarray(photo).convert("CMYK"), "TIFF"))
    assert [warning.code for warning in image.warnings] == ["missing_profile"]


def test_a_cmyk_profile_is_used_and_kept() -> None:
    profile = cmyk_profile()
    ink = np.array([[[0, 255, 255, 0], [0, 0, 0, 255], [0, 0, 0, 0]]], np.uint8)
    image = opened(saved(Pillow.fromarray(ink, "CMYK"), "TIFF", icc_profile=profile))
    assert difference(image.pixels, from_ink(ink)) <= 3
    assert (image.icc, image.warnings) == (profile, ())


def test_transforms_do_not_pile_up(photo: Pixels) -> None:
    for gamma in range(40):
        opened(saved(photo[:2, :2], "PNG", icc_profile=rgb_profile(DISPLAY_P3_PRIMARIES, 1.5 + gamma / 32)))
    assert len(colour._TO_SRGB._kept) == colour.KEPT_TRANSFORMS
    assert all(len(digest) == 32 for digest, _ in colour._TO_SRGB._kept)


def test_threads_share_the_transforms() -> None:
    transforms = colour._Transforms(lambda icc, mode: "identity")

    def use(seed: int) -> None:
        for number in Random(seed).choices(range(40), k=5_000):
            assert transforms.get(bytes([number]), "RGB") == "identity"

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(use, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert len(transforms._kept) == colour.KEPT_TRANSFORMS
