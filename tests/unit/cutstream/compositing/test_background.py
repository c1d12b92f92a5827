from __future__ import annotations

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.background import blur_surroundings, render_gradient
from cutstream.compositing.specs import BLACK, WHITE, Gradient

OPS = CpuOps()
BLACK_TO_WHITE = (BLACK, WHITE)


@pytest.mark.parametrize(
    ("angle", "dark", "bright"),
    [
        (180, (0, 50), (99, 50)),
        (0, (99, 50), (0, 50)),
        (90, (50, 0), (50, 99)),
        (270, (50, 99), (50, 0)),
        (135, (0, 0), (99, 99)),
        (45, (99, 0), (0, 99)),
    ],
)
def test_a_linear_gradient_runs_as_in_css(angle: float, dark: tuple[int, int], bright: tuple[int, int]) -> None:
    picture = render_gradient(Gradient(colours=BLACK_TO_WHITE, angle=angle), 100, 100, OPS)
    assert picture.shape == (100, 100, 3)
    assert (picture[dark] <= 1).all()
    assert (picture[bright] >= 254).all()
    middle = picture[50, 50]
    assert (abs(middle.astype(int) - 128) <= 2).all()


def test_a_gradient_meets_all_its_stops_in_even_steps() -> None:
    picture = render_gradient(Gradient(colours=((255, 0, 0), (0, 255, 0), (0, 0, 255)), angle=90), 511, 3, OPS)
    for column, colour in ((0, (255, 0, 0)), (255, (0, 255, 0)), (510, (0, 0, 255))):
        np.testing.assert_array_equal(picture[1, column], colour)
    assert np.abs(np.diff(picture.astype(int), axis=1)).max() <= 2
    np.testing.assert_array_equal(picture[0], picture[2])


def test_a_radial_gradient_goes_from_the_middle_to_the_corners() -> None:
    picture = render_gradient(Gradient(colours=BLACK_TO_WHITE, type="radial"), 101, 51, OPS)
    assert (picture[25, 50] == 0).all()
    for corner in ((0, 0), (0, 100), (50, 0), (50, 100)):
        assert (picture[corner] == 255).all()
    np.testing.assert_array_equal(picture, picture[::-1, ::-1])


@pytest.mark.parametrize("type", ["linear", "radial"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
def test_gradients_of_the_smallest_sizes(type: str, size: tuple[int, int]) -> None:
    assert render_gradient(Gradient(colours=BLACK_TO_WHITE, type=type), *size, OPS).shape == (size[1], size[0], 3)  # type: ignore[arg-type]


def test_the_subject_leaves_no_glow_in_the_blurred_surroundings() -> None:
    """A red disc lies on grey ground: no red may be left, neither under it nor around it."""
    y, x = np.mgrid[:300, :400]
    alpha = np.where(np.hypot(x - 200, y - 150) < 80, 255, 0).astype(np.uint8)
    pixels = np.where(alpha[..., None] > 0, (255, 0, 0), (90, 90, 90)).astype(np.uint8)
    for sigma in (3, 15, 60):
        picture = blur_surroundings(pixels, alpha, sigma, 400, 300, OPS)
        np.testing.assert_allclose(picture, 90, atol=2)


def test_surroundings_are_blurred_by_the_requested_deviation() -> None:
    """A step from black to white, blurred by a Gaussian, is its integral: a sixth of the way at one deviation."""
    pixels = np.zeros((200, 1000, 3), np.uint8)
    pixels[:, 500:] = 255
    picture = blur_surroundings(pixels, np.zeros((200, 1000), np.uint8), 20, 1000, 200, OPS)
    row = picture[100, :, 0] / 255
    assert row[480] == pytest.approx(0.159, abs=0.02)
    assert row[520] == pytest.approx(0.841, abs=0.02)


def test_surroundings_of_another_size_and_without_any_background() -> None:
    pixels = np.full((40, 60, 3), 77, np.uint8)
    assert blur_surroundings(pixels, np.zeros((40, 60), np.uint8), 5, 30, 50, OPS).shape == (50, 30, 3)
    assert (blur_surroundings(pixels, np.full((40, 60), 255, np.uint8), 5, 60, 40, OPS) == 0).all()
