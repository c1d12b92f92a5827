"""Colour spaces without a profile against the formulas of their standards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cutstream.images.colour_spaces import by_chromaticities, by_code_points, to_srgb
from cutstream.images.header import CodePoints
from tests.support.pictures.colorimetry import bt709_encoded, srgb_in
from tests.support.pictures.truth import photo

PAPER_WHITE = 203.0


def points(primaries: int, transfer: int) -> CodePoints:
    return CodePoints(primaries, transfer, 0, True)


def converted(samples: Any, primaries: int, transfer: int) -> Any:
    space = by_code_points(points(primaries, transfer))
    assert space is not None
    return to_srgb(samples, space)


def pq(nits: Any) -> Any:
    """Encode luminance by SMPTE ST 2084."""
    power = (np.asarray(nits) / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def linear(srgb: Any) -> Any:
    value = np.asarray(srgb) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(
    ("space", "primaries", "curve", "transfer"),
    [("p3", 12, None, 13), ("bt2020", 9, None, 13), ("bt2020", 9, bt709_encoded, 14), ("srgb", 1, bt709_encoded, 15)],
)
def test_sixteen_bits_of_a_wide_space_come_back_to_the_level(
    space: str, primaries: int, curve: Any, transfer: int
) -> None:
    wide = srgb_in(space, photo(), 65535, curve) if curve else srgb_in(space, photo(), 65535)
    assert np.abs(converted(wide, primaries, transfer).astype(int) - photo()).max() <= 1


def test_eight_bits_come_close() -> None:
    wide = srgb_in("p3", photo()).astype(np.uint8)
    difference = np.abs(converted(wide, 12, 13).astype(int) - photo())
    assert difference.mean() < 0.7
    assert np.percentile(difference, 99) <= 3


@pytest.mark.parametrize("transfer", [1, 2, 6, 13])
def test_what_viewers_show_as_srgb_is_srgb(transfer: int) -> None:
    space = by_code_points(points(1, transfer))
    assert space is not None
    assert space.is_srgb


@pytest.mark.parametrize("code", [(3, 13), (0, 13), (12, 0), (12, 9), (255, 255)])
def test_reserved_codes_are_no_colour_space(code: tuple[int, int]) -> None:
    assert by_code_points(points(*code)) is None


def test_pq_up_to_three_quarters_of_paper_white_is_exact() -> None:
    grey = np.arange(0, 225)
    nits = PAPER_WHITE * linear(grey)
    assert nits.max() < 0.75 * PAPER_WHITE + 1
    samples = np.round(pq(nits) * 65535).astype(np.uint16).reshape(1, -1, 1)
    assert np.abs(converted(samples, 1, 16)[0, :, 0].astype(int) - grey).max() <= 1


def test_hdr_never_clips_before_the_top_and_keeps_the_order() -> None:
    nits = np.geomspace(1, 10_000, 200)
    samples = np.round(pq(nits) * 65535).astype(np.uint16).reshape(1, -1, 1)
    levels = converted(samples, 9, 16)[0, :, 0].astype(int)
    assert (np.diff(levels) >= 0).all()
    assert 240 <= np.interp(PAPER_WHITE, nits, levels) <= 248
    assert levels[-1] == 255


def test_hdr_keeps_hues() -> None:
    orange = np.array([[[1000.0, 500.0, 100.0]]])
    samples = np.round(pq(orange) * 65535).astype(np.uint16)
    light = linear(converted(samples, 1, 16)[0, 0])
    assert light[0] > 0.9
    assert light / light[0] == pytest.approx(orange[0, 0] / 1000, abs=0.02)


def test_hlg_of_reference_white_is_near_paper_white() -> None:
    """ITU-R BT.2408: 75 % of HLG is 203 cd/m² on a display of 1,000."""
    samples = np.full((1, 1, 3), round(0.75 * 65535), np.uint16)
    assert 238 <= converted(samples, 9, 18)[0, 0, 0] <= 250
    assert converted(np.zeros((1, 1, 3), np.uint16), 9, 18).max() == 0
    assert converted(np.full((1, 1, 3), 65535, np.uint16), 9, 18).min() >= 254


def test_a_grey_picture_gets_three_channels() -> None:
    pixels = converted(np.full((3, 5, 1), 128, np.uint8), 12, 4)
    assert pixels.shape == (3, 5, 3)
    assert np.ptp(pixels) == 0


def test_a_linear_png_is_encoded() -> None:
    space = by_chromaticities(1.0, None)
    assert space is not None
    samples = np.round(linear(np.arange(256)) * 65535).astype(np.uint16).reshape(1, -1, 1)
    assert np.abs(to_srgb(samples, space)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_the_gamma_of_nearly_all_png_is_that_of_srgb() -> None:
    space = by_chromaticities(1 / 0.45455, (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290))
    assert space is not None
    assert space.is_srgb


@pytest.mark.parametrize(
    ("gamma", "primaries"), [(0.0001, None), (1e5, None), (1.0, (0.0,) * 8), (1.0, (0.3, 0.3) * 4)]
)
def test_impossible_ones_are_no_colour_space(gamma: float, primaries: Any) -> None:
    assert by_chromaticities(gamma, primaries) is None
