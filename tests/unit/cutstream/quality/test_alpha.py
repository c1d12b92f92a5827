from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from cutstream.quality.alpha import gradient_error, mean_absolute_error, sum_of_absolute_differences

EMPTY = np.zeros((20, 30), np.uint8)
FULL = np.full((20, 30), 255, np.uint8)
STEP = EMPTY.copy()
STEP[:, 15:] = 255


def test_differences_by_hand() -> None:
    truth = np.array([[0, 255], [255, 0]], np.uint8)
    matte = np.array([[51, 255], [0, 0]], np.uint8)
    assert mean_absolute_error(matte, truth) == pytest.approx(1.2 / 4)
    assert sum_of_absolute_differences(matte, truth) == pytest.approx(0.0012)


def test_the_worst_is_one_per_pixel() -> None:
    assert mean_absolute_error(EMPTY, FULL) == 1.0
    assert sum_of_absolute_differences(FULL, EMPTY) == 0.6


def test_equal_mattes_differ_by_nothing() -> None:
    for matte in (EMPTY, FULL, STEP):
        assert mean_absolute_error(matte, matte) == sum_of_absolute_differences(matte, matte) == 0.0
        assert gradient_error(matte, matte) == 0.0


def test_gradient_error_is_the_matting_benchmarks() -> None:
    """Its filter, sampled and normalised as its authors do: the derivative of a Gaussian, of unit length."""
    x = np.arange(-4, 5)
    gauss = np.exp(-(x**2) / (2 * 1.4**2)) / (1.4 * np.sqrt(2 * np.pi))
    slope = -x * gauss / 1.4**2
    length = np.sqrt(np.sum(np.outer(gauss, slope) ** 2))

    def magnitude(matte: np.ndarray) -> np.ndarray:
        alpha = matte / 255.0
        across, down = (
            correlate1d(correlate1d(alpha, slope, axis, mode="nearest"), gauss, 1 - axis, mode="nearest")
            for axis in (1, 0)
        )
        return np.hypot(across, down) / length

    soft = np.tile(np.linspace(0, 255, 30).astype(np.uint8), (20, 1))
    expected = np.sum((magnitude(soft) - magnitude(STEP)) ** 2) / 1000
    assert gradient_error(soft, STEP) == pytest.approx(expected, rel=0.02)


def test_gradients_do_not_see_a_flat_error() -> None:
    assert gradient_error(EMPTY, FULL) == pytest.approx(0.0)
    assert gradient_error(EMPTY, STEP) > 0.1
