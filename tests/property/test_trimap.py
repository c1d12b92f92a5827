from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cutstream.arrays.cpu import CpuOps
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, build_trimap

OPS = CpuOps()
sides = st.integers(1, 40)
mattes = st.tuples(sides, sides).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.sampled_from([0, 9, 10, 128, 240, 241, 255]))
)
radii = st.integers(0, 200)


def coarse(alpha: Any, times: int) -> Any:
    """Enlarge the matte enough for a radius to show."""
    return alpha.repeat(times, axis=0).repeat(times, axis=1)


@given(mattes, radii, radii, radii)
def test_a_wider_band_holds_a_narrower_one(alpha: Any, erode: int, dilate: int, more: int) -> None:
    alpha = coarse(alpha, 4)
    band, wider = (
        build_trimap(alpha, erode, dilate, OPS),
        build_trimap(alpha, min(200, erode + more), dilate + more, OPS),
    )
    assert ((wider == band) | (wider == UNKNOWN)).all()


@given(mattes, radii, radii)
def test_sure_pixels_were_sure_in_the_matte(alpha: Any, erode: int, dilate: int) -> None:
    trimap = build_trimap(alpha, erode, dilate, OPS)
    assert set(np.unique(trimap)) <= {BACKGROUND, UNKNOWN, SUBJECT}
    assert (alpha[trimap == SUBJECT] >= 241).all()
    assert (alpha[trimap == BACKGROUND] <= 9).all()


@given(mattes, radii, radii)
def test_subject_and_background_are_alike(alpha: Any, erode: int, dilate: int) -> None:
    """Values from 241 are as sure as values up to 9; 255 is odd, so the two differ by one level."""
    inverted = np.where(alpha < 128, np.where(alpha <= 9, 255, 128), np.where(alpha >= 241, 0, 128)).astype(np.uint8)
    swapped = {BACKGROUND: SUBJECT, SUBJECT: BACKGROUND, UNKNOWN: UNKNOWN}
    trimap, other = build_trimap(alpha, erode, dilate, OPS), build_trimap(inverted, dilate, erode, OPS)
    np.testing.assert_array_equal(np.vectorize(swapped.get)(other), trimap)


@settings(max_examples=30)
@given(arrays(np.uint8, (12, 15), elements=st.sampled_from([0, 128, 255])), radii)
def test_it_is_a_disc_around_each_pixel(alpha: Any, radius: int) -> None:
    alpha = coarse(alpha, 8)
    reach = radius * max(alpha.shape) / 1000
    rows, columns = np.nonzero(alpha != 255)
    trimap = build_trimap(alpha, radius, 0, OPS)
    for row, column in [(0, 0), (17, 40), (48, 60), (95, 119)]:
        nearest = np.hypot(rows - row, columns - column).min() if len(rows) else np.inf
        if abs(nearest - reach) > 1e-3:
            assert (trimap[row, column] == SUBJECT) == (nearest > reach)
