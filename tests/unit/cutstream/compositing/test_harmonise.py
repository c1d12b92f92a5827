from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.harmonise import harmonise
from cutstream.compositing.specs import HarmoniseMethod, HarmoniseSpec

OPS = CpuOps()
METHODS: Any = pytest.mark.parametrize("method", ["reinhard", "histogram"])


def photo(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (320, 240), interpolation=cv2.INTER_AREA)


@pytest.fixture
def subject() -> np.ndarray:
    return photo(data.chelsea())


@pytest.fixture
def background() -> np.ndarray:
    return photo(data.rocket())


@pytest.fixture
def alpha() -> np.ndarray:
    matte = np.zeros((240, 320), np.uint8)
    cv2.ellipse(matte, (170, 110), (100, 80), 0, 0, 360, 255, -1)
    return cv2.GaussianBlur(matte, (9, 9), 0)


def lab(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels.reshape(1, -1, 3), cv2.COLOR_RGB2LAB)[0].astype(float)


def apart(pixels: np.ndarray, background: np.ndarray) -> float:
    return float(np.abs(lab(pixels).mean(axis=0) - lab(background).mean(axis=0)).sum())


@METHODS
def test_at_strength_0_the_photo_is_returned(
    method: HarmoniseMethod, subject: np.ndarray, alpha: np.ndarray, background: np.ndarray
) -> None:
    result = harmonise(subject, alpha, background, HarmoniseSpec(method=method, strength=0), OPS)
    np.testing.assert_array_equal(result, subject)


@METHODS
def test_more_strength_brings_the_subject_nearer(
    method: HarmoniseMethod, subject: np.ndarray, alpha: np.ndarray, background: np.ndarray
) -> None:
    solid = alpha > 127
    before = apart(subject[solid], background)
    half, whole = (
        apart(
            harmonise(subject, alpha, background, HarmoniseSpec(method=method, strength=share), OPS)[solid], background
        )
        for share in (0.5, 1.0)
    )
    assert 0.35 * before < half < 0.65 * before
    assert whole < 0.1 * before


@METHODS
def test_pixels_around_the_subject_do_not_count(
    method: HarmoniseMethod, subject: np.ndarray, alpha: np.ndarray, background: np.ndarray
) -> None:
    other = np.where(alpha[..., None] > 127, subject, np.uint8((0, 255, 0)))
    results = [harmonise(each, alpha, background, HarmoniseSpec(method=method), OPS) for each in (subject, other)]
    np.testing.assert_array_equal(results[0][alpha > 127], results[1][alpha > 127])


@METHODS
def test_a_subject_of_the_backgrounds_colours_keeps_them(
    method: HarmoniseMethod, subject: np.ndarray, alpha: np.ndarray
) -> None:
    full = np.full_like(alpha, 255)
    result = harmonise(subject, full, subject, HarmoniseSpec(method=method, strength=1.0), OPS)
    difference = np.abs(result.astype(int) - subject)
    assert difference.mean() < 1  # there and back through 8-bit Lab
    assert difference.max() <= 8


@METHODS
def test_without_a_subject_colours_stay(
    method: HarmoniseMethod, subject: np.ndarray, alpha: np.ndarray, background: np.ndarray
) -> None:
    result = harmonise(subject, np.zeros_like(alpha), background, HarmoniseSpec(method=method, strength=1.0), OPS)
    assert np.abs(result.astype(int) - subject).max() <= 8


def test_reinhard_keeps_contrast_believable(subject: np.ndarray, alpha: np.ndarray) -> None:
    """A full match to one colour would leave no contrast, and a match to stripes far too much."""
    solid = alpha > 127
    before = lab(subject[solid])[:, 0].std()
    stripes = np.full_like(subject, 255)
    stripes[:, ::2] = 0
    for background, ratio in ((np.full_like(subject, 120), 0.5), (stripes, 1.2)):
        result = harmonise(subject, alpha, background, HarmoniseSpec(strength=1.0), OPS)
        assert lab(result[solid])[:, 0].std() / before == pytest.approx(ratio, abs=0.05)


def test_a_subject_of_one_colour_takes_the_mean(background: np.ndarray) -> None:
    full = np.full(background.shape[:2], 255, np.uint8)
    grey = np.full_like(background, 128)
    result = harmonise(grey, full, background, HarmoniseSpec(strength=1.0), OPS)
    assert apart(result, background) < 3


def test_large_photos_are_sampled_evenly(subject: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> None:
    size = {"dsize": (1600, 1200), "interpolation": cv2.INTER_LINEAR}
    spec = HarmoniseSpec(strength=1.0)
    large = harmonise(*(cv2.resize(each, **size) for each in (subject, alpha, background)), spec, OPS)
    small = harmonise(subject, alpha, background, spec, OPS)
    solid = alpha > 127
    assert np.abs(lab(large[2::5, 2::5][solid]).mean(axis=0) - lab(small[solid]).mean(axis=0)).max() < 1
