from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import hausdorff_distance

from cutstream.quality.contour import band, inner, outer, separation

SIDE = 1000  # so that a pixel is the unit


def rectangle(top: int, left: int, bottom: int, right: int, side: int = SIDE) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


EMPTY, FULL = rectangle(0, 0, 0, 0, 60), rectangle(0, 0, 60, 60, 60)


def test_a_contour_is_the_subjects_rim_without_the_frame() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1:, 1:4] = True
    rim = [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 0, 1, 0]]
    beside = [[0, 1, 1, 1, 0], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1]]
    assert inner(mask).astype(int).tolist() == rim
    assert outer(mask).astype(int).tolist() == beside
    assert not inner(np.ones((3, 3), bool)).any()


def test_a_moved_square_is_as_far_as_it_moved() -> None:
    apart = separation(rectangle(100, 107, 200, 207), rectangle(100, 100, 200, 200))
    assert apart.hausdorff() == 7.0
    assert apart.pixel == 1.0


def test_an_outlier_counts_in_the_maximum_alone() -> None:
    truth = rectangle(100, 100, 200, 200)
    matte = truth.copy()
    matte[500, 199] = 255
    apart = separation(matte, truth)
    assert apart.hausdorff() == 301.0
    assert apart.hausdorff(95) == 0.0


def test_distances_scale_with_the_picture() -> None:
    small = separation(rectangle(10, 12, 20, 22, 100), rectangle(10, 10, 20, 20, 100))
    assert small.hausdorff() == pytest.approx(20.0)


def test_the_maximum_is_scikit_images() -> None:
    chooser = np.random.default_rng(3)
    for _ in range(5):
        one, other = ((chooser.random((40, 40)) > 0.7).astype(np.uint8) * 255 for _ in range(2))
        expected = hausdorff_distance(inner(one > 0), inner(other > 0)) * 25
        assert separation(one, other).hausdorff() == pytest.approx(expected)


def test_boundary_f1_by_hand() -> None:
    truth = rectangle(100, 100, 200, 200)
    assert separation(rectangle(103, 100, 203, 200), truth).boundary_f1() == 1.0  # within three pixels
    assert separation(rectangle(300, 300, 400, 400), truth).boundary_f1() == 0.0
    halves = rectangle(100, 100, 200, 200)
    halves[600:700, 600:700] = 255  # all of the truth is found, half of the contour is not there
    assert separation(halves, truth).boundary_f1() == pytest.approx(2 * 0.5 / 1.5)


def test_the_margin_is_at_least_a_pixel_of_the_picture() -> None:
    one_off = separation(rectangle(10, 11, 20, 21, 100), rectangle(10, 10, 20, 20, 100))
    assert (one_off.hausdorff(), one_off.boundary_f1()) == (10.0, 1.0)
    assert separation(rectangle(10, 14, 20, 24, 100), rectangle(10, 10, 20, 20, 100)).boundary_f1() < 1.0


@pytest.mark.parametrize("mask", [EMPTY, FULL])
def test_equal_masks_without_a_contour_are_together(mask: np.ndarray) -> None:
    apart = separation(mask, mask)
    assert (apart.hausdorff(), apart.hausdorff(95), apart.boundary_f1()) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(("matte", "truth"), [(EMPTY, FULL), (EMPTY, rectangle(9, 9, 20, 20, 60))])
def test_masks_of_which_one_has_no_contour_are_a_diagonal_apart(matte: np.ndarray, truth: np.ndarray) -> None:
    for apart in (separation(matte, truth), separation(truth, matte)):
        assert apart.hausdorff() == pytest.approx(1000 * math.sqrt(2))
        assert apart.boundary_f1() == 0.0


@pytest.mark.parametrize(
    ("distance", "name"),
    [(0, "excellent"), (10, "excellent"), (10.1, "good"), (20, "good"), (21, "fair"), (40, "fair"), (41, "poor")],
)
def test_bands(distance: float, name: str) -> None:
    assert band(distance) == name
