"""Laws of fitting a background picture, for pictures and canvases of any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.background_picture import fit_picture
from cutstream.compositing.specs import Fit
from cutstream.images import Image

OPS = CpuOps()
BLUE = (0, 0, 255)
sides = st.integers(1, 40)
places = st.tuples(sides, sides)
fits = st.sampled_from(["cover", "contain", "tile"])
pictures = st.tuples(sides, sides).flatmap(
    lambda size: st.builds(
        Image,
        arrays(np.uint8, (*size, 3), elements=st.integers(0, 255)),
        st.none() | arrays(np.uint8, size, elements=st.sampled_from([0, 128, 255])),
    )
)


@given(pictures, places, fits)
def test_the_result_has_the_requested_size_and_the_picture_stays_as_it_was(
    picture: Image, place: tuple[int, int], fit: Fit
) -> None:
    before = picture.pixels.copy()
    result = fit_picture(picture, *place, fit, BLUE, OPS)
    assert result.shape == (place[1], place[0], 3)
    np.testing.assert_array_equal(picture.pixels, before)


@given(pictures, places, fits)
def test_every_colour_lies_between_those_of_picture_and_background(
    picture: Image, place: tuple[int, int], fit: Fit
) -> None:
    result = fit_picture(picture, *place, fit, BLUE, OPS)
    colours = np.concatenate([picture.pixels.reshape(-1, 3), [BLUE]])
    assert (result >= colours.min(axis=0)).all()
    assert (result <= colours.max(axis=0)).all()


@given(sides, sides, places, st.sampled_from(["cover", "tile"]))
def test_cover_and_tile_fill_the_canvas(rows: int, columns: int, place: tuple[int, int], fit: Fit) -> None:
    result = fit_picture(Image(np.full((rows, columns, 3), 9, np.uint8)), *place, fit, BLUE, OPS)
    assert (result == 9).all()


@given(sides, sides, places)
def test_contain_fills_one_side_and_keeps_the_shape_to_the_pixel(
    rows: int, columns: int, place: tuple[int, int]
) -> None:
    width, height = place
    result = fit_picture(Image(np.full((rows, columns, 3), 9, np.uint8)), width, height, "contain", BLUE, OPS)
    shown: Any = (result == 9).all(axis=2)
    across, down = int(shown.any(axis=0).sum()), int(shown.any(axis=1).sum())
    assert across == width or down == height
    assert shown.sum() == across * down  # one rectangle
    scale = min(width / columns, height / rows)
    assert abs(across - max(1, columns * scale)) <= 1
    assert abs(down - max(1, rows * scale)) <= 1
