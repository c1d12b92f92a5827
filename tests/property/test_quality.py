"""Laws of the measures, whatever the masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cutstream.quality.alpha import gradient_error, mean_absolute_error, sum_of_absolute_differences
from cutstream.quality.contour import separation
from cutstream.quality.edges import sharpness
from cutstream.quality.overlap import box_share, coverage, f_score, iou
from cutstream.quality.scores import score

SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))
LEVELS = st.sampled_from([0, 1, 127, 128, 254, 255])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(SIZES)
    return draw(arrays(np.uint8, shape, elements=LEVELS)), draw(arrays(np.uint8, shape, elements=LEVELS))


@given(pairs())
def test_it_does_not_matter_which_is_the_truth(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = pair
    assert iou(one, other) == iou(other, one)
    assert f_score(one, other, 1.0) == f_score(other, one, 1.0)
    assert mean_absolute_error(one, other) == mean_absolute_error(other, one)
    assert separation(one, other).hausdorff() == separation(other, one).hausdorff()
    assert separation(one, other).boundary_f1() == separation(other, one).boundary_f1()


@given(pairs())
def test_a_matte_is_perfect_beside_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, _ = pair
    assert iou(one, one) == f_score(one, one, 0.3) == separation(one, one).boundary_f1() == 1.0
    assert mean_absolute_error(one, one) == sum_of_absolute_differences(one, one) == gradient_error(one, one) == 0.0
    assert separation(one, one).hausdorff() == 0.0


@given(pairs())
def test_dice_follows_from_iou(pair: tuple[np.ndarray, np.ndarray]) -> None:
    overlap = iou(*pair)
    assert abs(f_score(*pair, 1.0) - 2 * overlap / (1 + overlap)) < 1e-12


@given(pairs())
def test_ranges(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = pair
    apart = separation(one, other)
    shares = [iou(one, other), f_score(one, other, 0.3), mean_absolute_error(one, other), coverage(one), box_share(one)]
    assert all(0 <= share <= 1 for share in [*shares, apart.boundary_f1(), sharpness(one) or 0.0])
    assert 0 <= apart.hausdorff(95) <= apart.hausdorff() <= np.hypot(*one.shape) * apart.pixel + 1e-9


@settings(max_examples=40)
@given(pairs(), st.integers(0, 255))
def test_every_pair_has_scores(pair: tuple[np.ndarray, np.ndarray], grey: int) -> None:
    matte, truth = pair
    scores = score(np.full((*matte.shape, 3), grey, np.uint8), truth, matte)
    values = [scores.sad, scores.gradient, scores.noise_sigma or 0.0, scores.illumination or 0.0]
    assert all(np.isfinite(value) and value >= 0 for value in values)
    assert (scores.illumination or 0.0) <= 1 + 1e-9
