from __future__ import annotations

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.matting.measure import measure, uncertainty


def matte(*values: int) -> np.ndarray:
    return np.array([values], np.uint8)


def test_a_sure_matte() -> None:
    sure = matte(0, 255, 255, 0)
    measurement = measure(sure, CpuOps())
    assert (measurement.box, measurement.coverage) == ((1, 0, 3, 1), 0.5)
    assert uncertainty(sure, CpuOps()) == 0.0


def test_an_empty_matte_is_certain() -> None:
    measurement = measure(matte(0, 0), CpuOps())
    assert (measurement.box, measurement.coverage) == (None, 0.0)
    assert uncertainty(matte(0, 0), CpuOps()) == 0.0


def test_alpha_below_the_threshold_everywhere_is_guessing() -> None:
    assert measure(matte(100, 100), CpuOps()).box == (0, 0, 2, 1)
    assert uncertainty(matte(100, 100), CpuOps()) == 1.0


def test_uncertainty_is_one_minus_soft_dice() -> None:
    # alpha 1, 0.8, 0.2: 1 - 2 * 1.8 / (2.0 + 2) = 0.1
    assert uncertainty(matte(255, 204, 51, 0), CpuOps()) == pytest.approx(0.1)


def test_uncertainty_does_not_depend_on_the_empty_surroundings() -> None:
    values = (255, 204, 51)
    assert uncertainty(matte(*values), CpuOps()) == uncertainty(matte(*values, *[0] * 99), CpuOps())


def test_faint_alpha_counts_as_coverage_but_not_in_the_box() -> None:
    measurement = measure(matte(25, 0, 255), CpuOps())
    assert measurement.box == (2, 0, 3, 1)
    assert measurement.coverage == pytest.approx(280 / 765)
