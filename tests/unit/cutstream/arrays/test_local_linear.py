"""What need not be computed, and awkward sizes and values."""

from __future__ import annotations

import numpy as np
import pytest

from cutstream.arrays.compiled import local_linear as module
from cutstream.arrays.cpu import CpuOps

RISING = np.arange(-100, 400, 5, dtype=np.float32)  # an intercept for each column of the grid


def undecided_columns(slope: float) -> int:
    """Return how many cells of a grid are computed that makes 0 on its left and 255 on its right."""
    coefficients = np.full((3, len(RISING), 4), slope, np.float32)
    coefficients[..., 3] = RISING
    low, high = module._bounds(coefficients)
    starts, ends, kinds = (np.zeros(len(RISING) + 1, kind) for kind in (np.uint32, np.uint32, np.uint8))
    runs = module._find_runs(low, high, 0, 1, starts, ends, kinds)
    computed = kinds[:runs] == module.UNDECIDED
    return int((ends[:runs] - starts[:runs])[computed].sum())


def test_only_cells_that_can_be_soft_are_computed() -> None:
    soft = np.count_nonzero((RISING > 0) & (RISING < 255))
    assert soft <= undecided_columns(0) <= soft + 3


def test_a_slope_widens_what_is_computed() -> None:
    assert undecided_columns(-0.1) > 1.2 * undecided_columns(0)


@pytest.mark.parametrize(("intercept", "value"), [(-1.0, 0), (256.0, 255)])
def test_a_photo_without_soft_pixels_is_filled(intercept: float, value: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (200, 1000, 3), np.uint8)
    coefficients = np.zeros((3, 3, 4), np.float32)
    coefficients[..., 3] = intercept
    assert (CpuOps().local_linear(coefficients, pixels) == value).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_taken(value: float) -> None:
    pixels = np.full((20, 30, 3), 255, np.uint8)
    made = CpuOps().local_linear(np.full((3, 3, 4), value, np.float32), pixels)
    assert made.min() == made.max()


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (33, 700), (31, 20_000)])
def test_soft_pixels_everywhere(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    coefficients = np.tile(np.float32([0.2, 0.3, 0.4, 5]), (4, 5, 1))
    expected = pixels @ np.array([0.2, 0.3, 0.4]) + 5
    made = CpuOps().local_linear(coefficients, pixels)
    np.testing.assert_allclose(made.astype(float), expected, rtol=0, atol=0.51)
