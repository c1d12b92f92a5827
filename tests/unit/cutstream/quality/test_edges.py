from __future__ import annotations

import numpy as np
import pytest

from cutstream.quality.edges import noise_sigma, sharpness

SIDE = 96
EMPTY = np.zeros((SIDE, SIDE), np.uint8)
FULL = np.full((SIDE, SIDE), 255, np.uint8)
STEP = EMPTY.copy()
STEP[:, 40:] = 255


def ramp(width: int) -> np.ndarray:
    columns = np.clip((np.arange(SIDE) - 48) / width + 0.5, 0, 1)
    return np.tile(np.rint(columns * 255).astype(np.uint8), (SIDE, 1))


def test_a_hard_step_is_one_in_every_direction() -> None:
    assert sharpness(STEP) == 1.0
    assert sharpness(STEP.T.copy()) == 1.0
    assert sharpness(np.triu(FULL)) == pytest.approx(1.0, abs=0.02)


def test_a_ramp_is_twice_its_slope() -> None:
    """The central difference spans two pixels, so a hard step, seen from either side, is 1 and not 1/2."""
    assert sharpness(ramp(10)) == pytest.approx(2 / 10, rel=0.03)
    assert sharpness(ramp(20)) == pytest.approx(2 / 20, rel=0.03)


def test_without_a_contour_there_is_no_edge_to_judge() -> None:
    photo = np.zeros((SIDE, SIDE, 3), np.uint8)
    for matte in (EMPTY, FULL):
        assert sharpness(matte) is None
        assert noise_sigma(photo, matte) is None


@pytest.mark.parametrize("sigma", [4.0, 12.0])
def test_the_noise_of_the_photo_is_found_along_the_edge(sigma: float) -> None:
    chooser = np.random.default_rng(5)
    grey = np.clip(200 + chooser.normal(0, sigma, (SIDE, SIDE)), 0, 255).astype(np.uint8)
    photo = np.repeat(grey[..., None], 3, axis=2)
    matte = EMPTY.copy()
    matte[:, 17:] = 255  # nearly whole tiles of subject
    assert noise_sigma(photo, matte) == pytest.approx(sigma, rel=0.25)


def test_noise_away_from_the_edge_and_in_the_background_is_not_counted() -> None:
    photo = np.full((SIDE, SIDE, 3), 200, np.uint8)
    photo[:, 64:] = np.random.default_rng(5).integers(0, 255, (SIDE, 32, 3))
    photo[:, :30] = np.random.default_rng(6).integers(0, 255, (SIDE, 30, 3))
    assert noise_sigma(photo, STEP) == pytest.approx(0.0, abs=0.01)


def test_pictures_smaller_than_a_tile_have_no_estimate() -> None:
    assert noise_sigma(np.zeros((9, 40, 3), np.uint8), np.eye(9, 40, dtype=np.uint8) * 255) is None
