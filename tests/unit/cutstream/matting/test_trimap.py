from __future__ import annotations

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, build_trimap

OPS = CpuOps()


def disc(side: int, radius: float, soft: float = 1.0) -> np.ndarray:
    rows, columns = np.ogrid[:side, :side]
    distance = np.hypot(rows - side / 2 + 0.5, columns - side / 2 + 0.5)
    return (np.clip((radius - distance) / soft + 0.5, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("side", [500, 1000, 2400])
def test_the_band_has_the_requested_width_inside_and_outside(side: int) -> None:
    trimap = build_trimap(disc(side, 0.25 * side), 20, 40, OPS)
    row = trimap[side // 2]
    assert set(np.unique(trimap)) == {BACKGROUND, UNKNOWN, SUBJECT}
    assert (row == SUBJECT).sum() == pytest.approx(2 * (0.25 - 0.02) * side, abs=max(4, side / 200))
    assert (row != BACKGROUND).sum() == pytest.approx(2 * (0.25 + 0.04) * side, abs=max(4, side / 200))


def test_the_band_is_as_wide_along_the_diagonal() -> None:
    trimap = build_trimap(disc(1000, 250), 30, 30, OPS)
    diagonal = np.count_nonzero(trimap.diagonal() == UNKNOWN) * np.sqrt(2)
    assert diagonal == pytest.approx(np.count_nonzero(trimap[500] == UNKNOWN), abs=8)


def test_soft_pixels_are_unknown_anywhere() -> None:
    alpha = disc(200, 80)
    alpha[98:102, 98:102] = 130
    alpha[5:7, 5:7] = 130
    trimap = build_trimap(alpha, 0, 0, OPS)
    np.testing.assert_array_equal(trimap == UNKNOWN, (alpha > 9) & (alpha < 241))


def test_nearly_pure_values_are_sure() -> None:
    alpha = np.full((40, 40), 9, np.uint8)
    alpha[:, 20:] = 241
    assert (build_trimap(alpha, 0, 0, OPS) != UNKNOWN).all()


def test_the_frame_of_the_image_is_not_an_edge() -> None:
    alpha = np.zeros((100, 100), np.uint8)
    alpha[:, 50:] = 255
    trimap = build_trimap(alpha, 100, 100, OPS)
    assert (trimap[:, :39] == BACKGROUND).all()
    assert (trimap[:, 61:] == SUBJECT).all()


def test_a_thin_subject_erodes_away_and_a_wide_band_covers_all() -> None:
    alpha = np.zeros((300, 300), np.uint8)
    alpha[140:146] = 255
    assert SUBJECT not in build_trimap(alpha, 20, 5, OPS)
    assert (build_trimap(disc(300, 100), 200, 200, OPS) == UNKNOWN).mean() > 0.5
    full = np.full((300, 300), 255, np.uint8)
    full[150, 150] = 0
    assert BACKGROUND not in build_trimap(full, 10, 10, OPS)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (37, 3), (1200, 1)])
def test_a_plain_matte_is_sure_everywhere(value: int, size: tuple[int, int]) -> None:
    assert (build_trimap(np.full(size, value, np.uint8), 10, 10, OPS) == value).all()


def test_hair_thinner_than_a_pixel_of_the_nominal_size_is_unknown() -> None:
    alpha = np.zeros((3000, 300), np.uint8)
    alpha[:, 150] = 255
    trimap = build_trimap(alpha, 0, 0, OPS)
    assert (trimap[:, 150] == UNKNOWN).all()
    assert (trimap[:, 160:] == BACKGROUND).all()
