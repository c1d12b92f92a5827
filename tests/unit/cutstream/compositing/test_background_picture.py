from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from PIL import Image as Pillow

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.background_picture import fit_picture
from cutstream.compositing.specs import Fit
from cutstream.images import Image
from tests.support.back_ends import DEVICES, SUBJECTS, back_end, simulated
from tests.support.tolerances import APART

DATA = Path(skimage.__file__).parent / "data"
TEAL = (0, 128, 128)
FITS: list[Fit] = ["cover", "contain", "tile"]


@pytest.fixture(params=SUBJECTS)
def ops(request: pytest.FixtureRequest) -> ArrayOps:
    return back_end(request.param)


def fitted(picture: Image, width: int, height: int, fit: Fit, ops: ArrayOps, colour: Any = TEAL) -> np.ndarray:
    """Fit a picture from host memory, and bring the result back."""
    alpha = None if picture.alpha is None else ops.to_device(picture.alpha)
    sent = Image(ops.to_device(picture.pixels), alpha)
    result = fit_picture(sent, width, height, fit, colour, ops)
    assert (result.shape, result.dtype) == ((height, width, 3), np.uint8)
    assert result.flags.c_contiguous
    return ops.to_host(result)


def columns(*colours: int) -> Image:
    """A picture 2 high whose columns are these greys, each 2 wide."""
    row = np.repeat(np.array(colours, np.uint8), 2)
    return Image(np.stack([np.stack([row, row])] * 3, axis=2))


@pytest.fixture
def photo() -> Image:
    return Image(np.asarray(Pillow.open(DATA / "coffee.png").convert("RGB")))


def test_cover_shows_the_middle_of_a_picture_that_is_too_wide(ops: ArrayOps) -> None:
    assert (fitted(columns(10, 20, 30, 40, 50), 8, 8, "cover", ops) == 30).all()


def test_cover_shows_the_middle_of_a_picture_that_is_too_high(ops: ArrayOps) -> None:
    high = Image(np.ascontiguousarray(columns(10, 20, 30, 40, 50).pixels.swapaxes(0, 1)))
    assert (fitted(high, 4, 4, "cover", ops) == 30).all()


def test_cover_of_a_part_at_its_own_size_is_contiguous_too(ops: ArrayOps) -> None:
    assert (fitted(columns(10, 20, 30), 2, 2, "cover", ops) == 20).all()


def test_cover_of_the_same_shape_loses_nothing(ops: ArrayOps, photo: Image) -> None:
    cover = fitted(photo, photo.width // 2, photo.height // 2, "cover", ops).astype(int)
    scaled = CpuOps().resize_area(photo.pixels, photo.width // 2, photo.height // 2)
    assert np.abs(cover - scaled).max() <= APART["resize_area"]


def test_contain_shows_all_of_it_in_the_middle_of_the_colour(ops: ArrayOps) -> None:
    shown = fitted(columns(10, 20, 30, 40), 8, 8, "contain", ops)
    np.testing.assert_array_equal(shown[3:5], columns(10, 20, 30, 40).pixels)
    assert (shown[:3] == TEAL).all()
    assert (shown[5:] == TEAL).all()


def test_contain_grows_until_one_side_is_full(ops: ArrayOps) -> None:
    shown = fitted(columns(7), 10, 6, "contain", ops)
    assert (shown[:, 2:8] == 7).all()
    assert (shown[:, [0, 1, 8, 9]] == TEAL).all()


def test_tiles_begin_at_the_top_left_and_are_cut_where_they_end(ops: ArrayOps) -> None:
    tile = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    rows, places = np.arange(7) % 2, np.arange(11) % 3
    np.testing.assert_array_equal(fitted(Image(tile), 11, 7, "tile", ops), tile[rows][:, places])


@pytest.mark.parametrize(("width", "height"), [(2, 9), (9, 1), (1, 1)])
def test_a_tile_larger_than_the_canvas_is_cut(ops: ArrayOps, width: int, height: int) -> None:
    tile = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    expected = np.tile(tile, (2, 3, 1))[:height, :width]
    np.testing.assert_array_equal(fitted(Image(tile), width, height, "tile", ops), expected)


@pytest.mark.parametrize("fit", FITS)
def test_transparent_parts_show_the_colour(ops: ArrayOps, fit: Fit) -> None:
    hidden = Image(np.full((4, 4, 3), 250, np.uint8), np.zeros((4, 4), np.uint8))
    assert (fitted(hidden, 9, 5, fit, ops) == TEAL).all()


def test_half_transparent_edges_mix_with_the_colour_and_not_with_hidden_ones(ops: ArrayOps) -> None:
    """Black that alpha hides must not darken the red next to it."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[:, 0] = (200, 0, 0)
    alpha = np.array([[255, 0], [255, 0]], np.uint8)
    shown = fitted(Image(pixels, alpha), 1, 1, "cover", ops, (200, 0, 0))
    np.testing.assert_array_equal(shown, [[(200, 0, 0)]])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("device", DEVICES)
def test_a_device_shows_the_same(photo: Image, device: str, fit: Fit) -> None:
    alpha = np.linspace(0, 255, photo.width).astype(np.uint8)[None].repeat(photo.height, axis=0)
    picture = Image(photo.pixels, alpha)
    expected, ours = (fitted(picture, 333, 251, fit, ops).astype(int) for ops in (CpuOps(), back_end(device)))
    assert np.abs(expected - ours).max() <= APART["resize_area"]


@pytest.mark.parametrize("fit", FITS)
def test_nothing_crosses_between_host_and_device(fit: Fit) -> None:
    ops, device = simulated()
    pixels, alpha = ops.to_device(np.ones((4, 5, 3), np.uint8)), ops.to_device(np.ones((4, 5), np.uint8))
    device.uploads.clear()
    fit_picture(Image(pixels, alpha), 9, 9, fit, TEAL, ops)
    assert (device.uploads, device.downloads) == ([], [])
