from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.images import Image
from cutstream.matting.alpha_matting import estimate_alpha
from cutstream.matting.specs import MattingSpec
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, build_trimap
from cutstream.quality.alpha import gradient_error, sum_of_absolute_differences
from tests.support.back_ends import DEVICES, back_end
from tests.support.fur import coarse, fur
from tests.support.lemur import lemur
from tests.support.tolerances import APART

OPS = CpuOps()
SIZES = [(240, 320), (333, 251), (640, 900)]


@pytest.mark.parametrize("size", SIZES)
def test_fast_recovers_hair_that_the_matte_lacks(size: tuple[int, int]) -> None:
    photo, truth = fur(*size)
    matte = coarse(truth, max(size) // 60)
    result = estimate_alpha(matte, photo, MattingSpec(erode=10, dilate=40), OPS)
    assert result.shape == size
    assert sum_of_absolute_differences(result, truth) < 0.75 * sum_of_absolute_differences(matte, truth)
    assert gradient_error(result, truth) < 0.6 * gradient_error(matte, truth)


def test_outside_the_band_alpha_is_the_trimaps() -> None:
    photo, truth = fur(300, 400)
    matte = np.maximum(coarse(truth, 6), 5)
    trimap = build_trimap(matte, 5, 20, OPS)
    result = estimate_alpha(matte, photo, MattingSpec(erode=5, dilate=20), OPS)
    assert (result[trimap == SUBJECT] == 255).all()
    assert (result[trimap == BACKGROUND] == 0).all()
    assert len(np.unique(result[trimap == UNKNOWN])) > 50


def test_the_band_is_where_the_radii_put_it() -> None:
    photo, truth = fur(300, 400)
    matte = coarse(truth, 6)
    narrow, wide = (estimate_alpha(matte, photo, MattingSpec(erode=2, dilate=dilate), OPS) for dilate in (2, 60))
    assert sum_of_absolute_differences(wide, truth) < 0.7 * sum_of_absolute_differences(narrow, truth)


@pytest.mark.parametrize("value", [0, 7, 128, 250, 255])
def test_without_subject_or_background_the_matte_stays(value: int) -> None:
    photo, _ = fur(60, 80)
    matte = np.full((60, 80), value, np.uint8)
    np.testing.assert_array_equal(estimate_alpha(matte, photo, MattingSpec(), OPS), matte)


def test_a_subject_that_erodes_away_stays() -> None:
    photo, _ = fur(200, 300)
    matte = np.zeros((200, 300), np.uint8)
    matte[100:103, 20:280] = 255
    np.testing.assert_array_equal(estimate_alpha(matte, photo, MattingSpec(erode=50), OPS), matte)


def test_without_a_band_the_trimap_is_returned() -> None:
    photo, _ = fur(60, 80)
    matte = np.zeros((60, 80), np.uint8)
    matte[20:40, 30:50] = 250
    result = estimate_alpha(matte, photo, MattingSpec(erode=0, dilate=0), OPS)
    np.testing.assert_array_equal(result, np.where(matte, 255, 0))


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (2, 3), (5, 400)])
def test_any_size(size: tuple[int, int]) -> None:
    matte = np.random.default_rng(0).choice([0, 128, 255], size).astype(np.uint8)
    photo = Image(np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8))
    result = estimate_alpha(matte, photo, MattingSpec(erode=0, dilate=0), OPS)
    assert (result.shape, result.dtype) == (size, np.uint8)


def test_far_from_known_pixels_the_matte_decides() -> None:
    """A plain photo gives no evidence: the middle of a soft region keeps its alpha far from known pixels."""
    photo = Image(np.full((200, 600, 3), 90, np.uint8))
    alpha = np.full((200, 600), 128, np.uint8)
    alpha[:, :60], alpha[:, 540:] = 0, 255
    result = estimate_alpha(alpha, photo, MattingSpec(), OPS)
    assert np.abs(result[:, 280:320].astype(int) - 128).max() <= 2


def test_fast_on_real_fur() -> None:
    picture = lemur()
    photo, truth = Image(picture.pixels), picture.alpha
    matte = coarse(truth, 8)
    result = estimate_alpha(matte, photo, MattingSpec(dilate=30), OPS)
    assert sum_of_absolute_differences(result, truth) < 0.9 * sum_of_absolute_differences(matte, truth)
    assert gradient_error(result, truth) < 0.6 * gradient_error(matte, truth)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", SIZES)
def test_devices_agree(device: str, size: tuple[int, int]) -> None:
    ops: Any = back_end(device)
    photo, truth = fur(*size)
    matte = coarse(truth, 6)
    spec = MattingSpec(erode=5, dilate=30)
    result = ops.to_host(estimate_alpha(ops.to_device(matte), Image(ops.to_device(photo.pixels)), spec, ops))
    expected = estimate_alpha(matte, photo, spec, OPS)
    assert np.abs(result.astype(int) - expected).max() <= APART["fast_matting"]
