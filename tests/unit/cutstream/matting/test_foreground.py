from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.matting.foreground import estimate_foreground
from tests.support.back_ends import simulated
from tests.support.hair import HairPicture, astronaut, fur_ball
from tests.support.lemur import lemur

OPS = CpuOps()
GROUNDS = [(0, 255, 0), (0, 0, 255), (255, 0, 0), (255, 0, 255)]


def pasted(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.stack([OPS.blend(pixels, alpha, colour) for colour in GROUNDS]).astype(int)


def edge_error(pixels: np.ndarray, picture: HairPicture) -> float:
    """Mean difference in grey levels from the true foreground, pasted on the same colours, where alpha is undecided."""
    undecided = (picture.alpha > 0) & (picture.alpha < 255)
    difference = pasted(pixels, picture.alpha) - pasted(picture.foreground, picture.alpha)
    return float(np.abs(difference)[:, undecided].mean())


PICTURES: dict[str, Callable[[], HairPicture]] = {
    "lemur": lemur,
    "fur on a table": lambda: fur_ball("coffee.png"),
    "fur in a stained tissue": lambda: fur_ball("ihc.png", seed=2),
    "fur on grass": lambda: fur_ball("grass.png"),
    "fur in a garage": lambda: fur_ball("motorcycle_left.png", seed=3),
    "person before bricks": lambda: astronaut("brick.png"),
    "person before galaxies": lambda: astronaut("hubble_deep_field.jpg"),
    "large person in a garage": lambda: astronaut("motorcycle_left.png", seed=4, side=1100),
}


@pytest.mark.parametrize("name", PICTURES)
def test_less_than_half_of_the_old_backgrounds_colour_is_left_at_the_edge(name: str) -> None:
    picture = PICTURES[name]()
    decontaminated = estimate_foreground(picture.pixels, picture.alpha, OPS)
    assert edge_error(decontaminated, picture) <= 0.5 * edge_error(picture.pixels, picture)


def test_sure_pixels_stay_as_they_are() -> None:
    picture = fur_ball("coffee.png")
    decontaminated = estimate_foreground(picture.pixels, picture.alpha, OPS)
    assert decontaminated.dtype == np.uint8
    sure = (picture.alpha == 0) | (picture.alpha == 255)
    np.testing.assert_array_equal(decontaminated[sure], picture.pixels[sure])


@pytest.mark.parametrize(("height", "width"), [(120, 200), (901, 1300)])
def test_two_plain_colours_are_told_apart(height: int, width: int) -> None:
    ramp = np.clip((np.arange(width) / width - 0.3) * 640, 0, 255)
    alpha = np.tile(ramp.astype(np.uint8), (height, 1))
    subject, behind = np.array([200, 30, 40]), np.array([20, 90, 220])
    share = alpha[..., None] / 255
    pixels = np.rint(share * subject + (1 - share) * behind).astype(np.uint8)
    decontaminated = estimate_foreground(pixels, alpha, OPS)
    visible = alpha > 25
    assert np.abs(decontaminated[visible].astype(int) - subject).max() <= 8
    assert np.abs(pixels[visible].astype(int) - subject).max() > 100


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (900, 1), (37, 53), (2, 1203)])
@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_one_colour_is_its_own_foreground(size: tuple[int, int], level: int) -> None:
    pixels = np.full((*size, 3), (12, 130, 250), np.uint8)
    np.testing.assert_array_equal(estimate_foreground(pixels, np.full(size, level, np.uint8), OPS), pixels)


def test_without_any_background_the_pixels_stay_about_the_same() -> None:
    picture = astronaut("brick.png")
    everywhere = np.full_like(picture.alpha, 200)
    difference = np.abs(estimate_foreground(picture.pixels, everywhere, OPS).astype(int) - picture.pixels)
    assert difference.mean() < 10


def test_nothing_travels_between_host_and_device() -> None:
    ops, device = simulated()
    picture = fur_ball("coffee.png", side=60)
    pixels, alpha = ops.to_device(picture.pixels), ops.to_device(picture.alpha)
    device.uploads.clear()
    estimate_foreground(pixels, alpha, ops)
    assert device.uploads == device.downloads == []


def test_memory_beyond_the_result_does_not_grow_with_the_photo() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2000, 3000, 3), np.uint8)
    undecided = np.full((2000, 3000), 100, np.uint8)
    tracemalloc.start()
    try:
        estimate_foreground(pixels, undecided, OPS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - pixels.nbytes < 24_000_000  # a single plane of float32 at the full size is as much
