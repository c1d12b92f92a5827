"""Which pixels are computed, and which ones need not be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cutstream.arrays import local_linear
from cutstream.arrays.cpu import CpuOps

RISING = np.arange(-100, 400, 5, dtype=np.float32)  # an intercept for each column of the grid


def plane(slope: float = 0.0) -> np.ndarray:
    """Return coefficients that make 0 on the left and 255 on the right, and soft columns between them."""
    coefficients = np.full((40, len(RISING), 4), slope, np.float32)
    coefficients[..., 3] = RISING
    return coefficients


def computed(coefficients: np.ndarray, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many pixels are interpolated."""
    counts = []
    original = cv2.warpAffine

    def warp(source: np.ndarray, matrix: np.ndarray, size: tuple[int, int], **options: object) -> object:
        counts.append(size[0] * size[1])
        return original(source, matrix, size, **options)

    monkeypatch.setattr(cv2, "warpAffine", warp)
    CpuOps().local_linear(coefficients, pixels)
    return sum(counts)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (200, 1000, 3), np.uint8)


def test_only_columns_that_can_be_soft_are_computed(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    soft = np.count_nonzero((RISING > 0) & (RISING < 255)) * 10 * 200
    strips = -(-200 // local_linear.ROWS) * local_linear.ROWS / 200  # the last one overlaps the one before
    assert soft <= computed(plane(), pixels, monkeypatch) <= 1.1 * strips * soft


def test_a_slope_widens_what_is_computed(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        flat = computed(plane(), pixels, patch)
    assert computed(plane(-0.1), pixels, monkeypatch) > 1.2 * flat


@pytest.mark.parametrize(("intercept", "value"), [(-1.0, 0), (256.0, 255)])
def test_a_photo_without_soft_pixels_is_filled(
    pixels: np.ndarray, intercept: float, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    coefficients = np.zeros((3, 3, 4), np.float32)
    coefficients[..., 3] = intercept
    assert computed(coefficients, pixels, monkeypatch) == 0
    assert (CpuOps().local_linear(coefficients, pixels) == value).all()


def test_what_is_not_a_number_is_computed(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert computed(np.full((3, 3, 4), np.nan, np.float32), pixels, monkeypatch) >= pixels[..., 0].size


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (33, 700), (31, 20_000)])
def test_rectangles_fill_the_buffer_again_and_again(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    coefficients = np.tile(np.float32([0.2, 0.3, 0.4, 5]), (4, 5, 1))
    expected = pixels @ np.array([0.2, 0.3, 0.4]) + 5
    made = CpuOps().local_linear(coefficients, pixels)
    np.testing.assert_allclose(made.astype(float), expected, rtol=0, atol=0.51)
