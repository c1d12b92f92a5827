from __future__ import annotations

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from evaluation.tuning.agreement import edge_agreement, edge_ranks
from tests.support.models import disc_of

OPS = CpuOps()
SIDE = 400


def disc(radius: float, side: int = SIDE) -> np.ndarray:
    return disc_of((side // 2, side // 2), radius, side).astype(np.uint8) * 255


@pytest.fixture
def photo() -> np.ndarray:
    """Return a photo of a disc whose edge is in one channel only, on a noisy background."""
    pixels = np.random.default_rng(2).integers(60, 90, (SIDE, SIDE, 3), np.uint8)
    pixels[..., 2] += disc(100) // 2
    return pixels


def test_the_contour_on_the_photos_edge_agrees_most(photo: np.ndarray) -> None:
    ranks = edge_ranks(photo, disc(98), OPS)
    at = {radius: edge_agreement(ranks, disc(radius)) for radius in (80, 95, 100, 105, 150)}
    assert max(at, key=at.__getitem__) == 100
    assert at[100] > 0.9
    assert at[95] < 0.6
    assert at[105] < 0.6
    assert at[80] == at[150] == 0  # outside the band around the network's contour


def test_the_agreement_of_noise_is_one_half() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert edge_agreement(edge_ranks(noise, disc(100), OPS), disc(98)) == pytest.approx(0.5, abs=0.05)


def test_the_band_scales_with_the_image() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    ranks = edge_ranks(noise, disc(100), OPS)
    distance = np.abs(np.hypot(*np.ogrid[-200:200, -200:200]) - 100)
    assert distance[ranks > 0].max() == pytest.approx(0.015 * SIDE, abs=1)


def test_without_a_contour_the_agreement_is_zero(photo: np.ndarray) -> None:
    empty, full = np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), 255, np.uint8)
    for matte in (empty, full):
        assert (edge_ranks(photo, matte, OPS) == 0).all()
        assert edge_agreement(edge_ranks(photo, disc(100), OPS), matte) == 0
    assert edge_agreement(edge_ranks(np.zeros_like(photo), disc(100), OPS), disc(100)) == 0
