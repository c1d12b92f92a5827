"""Ghosts and holes are large parts far from the true contour."""

from __future__ import annotations

import numpy as np
import pytest

from cutstream.quality.parts import count_ghosts, count_holes

SIDE = 200


def square(*parts: tuple[int, int, int, int], value: int = 255, on: int = 0) -> np.ndarray:
    """A matte with these parts: left, top, right, bottom."""
    matte = np.full((SIDE, SIDE), on, np.uint8)
    for left, top, right, bottom in parts:
        matte[top:bottom, left:right] = value
    return matte


TRUTH = square((50, 50, 150, 150))


def test_a_perfect_matte_has_none() -> None:
    assert (count_ghosts(TRUTH, TRUTH), count_holes(TRUTH, TRUTH)) == (0, 0)


@pytest.mark.parametrize(("value", "ghosts"), [(25, 0), (26, 1), (255, 1)])
def test_an_island_is_a_ghost_if_it_shows(value: int, ghosts: int) -> None:
    assert count_ghosts(np.maximum(TRUTH, square((5, 5, 15, 15), value=value)), TRUTH) == ghosts


def test_specks_and_what_touches_the_subject_are_no_ghosts() -> None:
    assert count_ghosts(np.maximum(TRUTH, square((5, 5, 11, 11))), TRUTH) == 0  # 36 of 40,000 pixels
    assert count_ghosts(np.maximum(TRUTH, square((0, 90, 60, 100))), TRUTH) == 0  # an edge in the wrong place
    assert count_ghosts(square((50, 50, 140, 150), (151, 60, 160, 140)), TRUTH) == 1
    assert count_ghosts(square((50, 50, 140, 150), (150, 60, 160, 140)), TRUTH) == 0


def test_ghosts_are_counted_and_may_touch_at_a_corner() -> None:
    two = np.maximum(TRUTH, square((5, 5, 15, 15), (180, 5, 190, 15)))
    assert count_ghosts(two, TRUTH) == 2
    corner = np.maximum(TRUTH, square((5, 5, 15, 15), (15, 15, 25, 25)))
    assert count_ghosts(corner, TRUTH) == 1


@pytest.mark.parametrize(("value", "holes"), [(127, 1), (128, 0), (0, 1)])
def test_a_gap_inside_the_subject_is_a_hole(value: int, holes: int) -> None:
    matte = TRUTH.copy()
    matte[90:110, 90:110] = value
    assert count_holes(matte, TRUTH) == holes


def test_bites_and_true_holes_are_no_holes() -> None:
    bitten, ring = TRUTH.copy(), TRUTH.copy()
    bitten[90:110, 50:80] = ring[90:110, 90:110] = 0
    assert count_holes(bitten, TRUTH) == 0
    assert count_holes(ring, ring) == 0
    assert count_ghosts(TRUTH, ring) == 0


def test_the_frame_is_no_edge() -> None:
    everything = square(value=0, on=255)
    matte = everything.copy()
    matte[:20, :20] = 0
    assert count_holes(matte, everything) == 1
    assert count_ghosts(square((0, 0, 20, 20)), square()) == 1
    assert count_holes(square(), square()) == 0
