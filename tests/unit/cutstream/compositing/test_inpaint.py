from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import Inpainting
from cutstream.compositing.inpaint import WORKING_SIDE, remove_subject

OPS = CpuOps()
METHODS: Any = pytest.mark.parametrize("method", ["telea", "navier_stokes"])


def disc(height: int, width: int, radius: float) -> np.ndarray:
    """Return a disc in the middle, with an edge that is soft over two pixels."""
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2)
    return (np.clip((radius - distance) / 2 + 0.5, 0, 1) * 255).astype(np.uint8)


@METHODS
@pytest.mark.parametrize("size", [(300, 451), (1100, 800), (90, 130)])
def test_no_subject_is_left_and_distant_pixels_stay_exactly(method: Inpainting, size: Any) -> None:
    surroundings = np.random.default_rng(5).integers(90, 120, (*size, 3), np.uint8)
    alpha = disc(*size, min(size) / 4)
    pixels = np.where(alpha[..., None] > 0, np.uint8(255), surroundings)
    filled = remove_subject(pixels, alpha, method, OPS)
    assert filled[alpha > 0].max() < 130
    away = cv2.distanceTransform((alpha == 0).astype(np.uint8), cv2.DIST_L2, 5) > 6 * max(1, max(size) / WORKING_SIDE)
    np.testing.assert_array_equal(filled[away], surroundings[away])


@METHODS
def test_a_hair_of_one_pixel_is_removed_from_a_large_photo(method: Inpainting) -> None:
    alpha = np.zeros((1000, 1100), np.uint8)
    alpha[100:900, 500] = 200
    pixels = np.where(alpha[..., None] > 0, np.uint8(250), np.full((1000, 1100, 3), 100, np.uint8))
    assert remove_subject(pixels, alpha, method, OPS).max() < 110


@METHODS
def test_the_fill_is_nearer_to_the_hidden_content_than_one_colour(method: Inpainting) -> None:
    """A disc over a photo's sky and ground hides known content."""
    photo = cv2.resize(data.rocket(), (960, 640), interpolation=cv2.INTER_AREA)
    alpha = disc(640, 960, 90)
    hidden = np.where(alpha[..., None] > 0, np.uint8((255, 0, 255)), photo)
    filled = remove_subject(hidden, alpha, method, OPS)
    hole = alpha > 127
    around = photo[alpha == 0].mean(axis=0)
    errors = [np.square(photo[hole] - guess).mean() for guess in (filled[hole].astype(float), around)]
    assert errors[0] < 0.8 * errors[1]


@METHODS
@pytest.mark.parametrize("alpha", [0, 255])
def test_without_a_subject_and_with_nothing_but_it_the_photo_stays(method: Inpainting, alpha: int) -> None:
    pixels = cv2.resize(data.coffee(), (WORKING_SIDE, 170), interpolation=cv2.INTER_AREA)
    same = remove_subject(pixels, np.full((170, WORKING_SIDE), alpha, np.uint8), method, OPS)
    np.testing.assert_array_equal(same, pixels)


@METHODS
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 3), (2, 2)])
def test_thin_photos_come_out_the_same_each_time(method: Inpainting, size: Any) -> None:
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (*size, 3), np.uint8)
    alpha = np.where(random.random(size) < 0.01, 255, 0).astype(np.uint8)
    alpha.flat[0] = 255
    filled = [remove_subject(pixels, alpha, method, OPS) for _ in range(5)]
    for each in filled[1:]:
        np.testing.assert_array_equal(each, filled[0])
