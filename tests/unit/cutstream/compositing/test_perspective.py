from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import data

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.perspective import resolve_ground_line, stand
from cutstream.compositing.specs import PerspectiveSpec
from cutstream.contract.geometry import parse_baseline, parse_horizon
from cutstream.errors import InvalidOption
from cutstream.images.geometry import Box
from tests.support.back_ends import SUBJECTS, back_end

OPS = CpuOps()


@pytest.fixture(params=SUBJECTS)
def ops(request: pytest.FixtureRequest) -> ArrayOps:
    return back_end(request.param)


def perspective(baseline: str, horizon: str | None = None) -> PerspectiveSpec:
    return PerspectiveSpec(
        baseline=parse_baseline(baseline), horizon=None if horizon is None else parse_horizon(horizon)
    )


def stood(pixels: Any, alpha: Any, box: Box, canvas: tuple[int, int], ops: ArrayOps = OPS, **options: Any) -> Any:
    photo = ForegroundLayer(ops.to_device(pixels), ops.to_device(alpha))
    placed = stand(photo, box, perspective(**options), *canvas, ops)
    return tuple(map(ops.to_host, placed))


def block(width: int, height: int, margin: int = 0) -> tuple[Any, Any, Box]:
    """An opaque rectangle of one colour, in a photo of another."""
    pixels = np.full((height + 2 * margin, width + 2 * margin, 3), 255, np.uint8)
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    box = Box(margin, margin, margin + width, margin + height)
    pixels[box.slices], alpha[box.slices] = (200, 100, 50), 255
    return pixels, alpha, box


def heights(alpha: Any) -> Any:
    """Return each column's height in pixels; half-covered pixels count as halves."""
    return alpha.astype(float).sum(axis=0) / 255


def test_a_level_baseline_as_wide_as_the_box_moves_it(ops: ArrayOps) -> None:
    pixels, alpha = data.coffee()[:40, :60], np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    box = Box(10, 5, 50, 35)
    moved, opacity = stood(pixels, alpha, box, (200, 100), ops, baseline="70 90 110 90")
    there = slice(60, 90), slice(70, 110)
    np.testing.assert_array_equal(opacity[there], alpha[box.slices])
    assert opacity.sum() == alpha[box.slices].sum(dtype=int)
    sure = opacity[there] > 200
    assert np.abs(moved[there].astype(int) - pixels[box.slices])[sure].max() <= 1
    assert (moved[opacity == 0] == 0).all()


def test_without_a_horizon_both_uprights_are_equal() -> None:
    pixels, alpha, box = block(40, 80, margin=7)
    _, opacity = stood(pixels, alpha, box, (300, 300), baseline="50 250 100 290")
    tall = 2 * np.hypot(50, 40)
    np.testing.assert_allclose(heights(opacity)[51:99], tall, atol=0.6)
    assert (heights(opacity)[:49] == 0).all()
    assert (heights(opacity)[101:] == 0).all()


def test_uprights_shrink_towards_the_horizon() -> None:
    pixels, alpha, box = block(50, 100)
    _, opacity = stood(pixels, alpha, box, (400, 400), baseline="100 300 200 380", horizon="100")
    columns = np.arange(102, 198)
    ground = 300 + (columns + 0.5 - 100) * 0.8
    expected = 2 * np.hypot(100, 80) * (ground - 100) / 240
    np.testing.assert_allclose(heights(opacity)[columns], expected, atol=0.8)
    assert (opacity[:, 100:200].argmax(axis=0) > 0).all()


def test_lower_corners_come_to_the_ends_of_the_baseline() -> None:
    pixels, alpha, box = block(60, 30, margin=3)
    _, opacity = stood(pixels, alpha, box, (200, 100), baseline="10% 90% 60% 70%", horizon="10%")
    left, right = opacity[:, 21], opacity[:, 118]
    assert np.flatnonzero(left > 127)[-1] == pytest.approx(89, abs=1)
    assert np.flatnonzero(right > 127)[-1] == pytest.approx(69, abs=1)


@pytest.mark.parametrize("hidden", [0, 255])
@pytest.mark.parametrize("baseline", ["20 180 180 170", "20 90 50 95"])
def test_edges_have_the_subjects_colour(hidden: int, baseline: str, ops: ArrayOps) -> None:
    """Colours hidden behind alpha leave no dark and no bright fringe, enlarged or reduced."""
    pixels = np.full((90, 90, 3), hidden, np.uint8)
    rows, columns = np.mgrid[:90, :90]
    alpha = (np.clip(38 - np.hypot(rows - 45, columns - 45), 0, 1) * 255).astype(np.uint8)
    pixels[alpha > 0] = (200, 100, 50)
    placed, opacity = stood(pixels, alpha, Box(5, 5, 85, 85), (200, 200), ops, baseline=baseline, horizon="5")
    visible = opacity > 0
    seen = (placed[visible].astype(int) - (200, 100, 50)) * opacity[visible][:, None] / 255
    assert np.abs(seen).max() <= 2
    assert (placed[opacity == 0] == 0).all()


def test_stripes_average_in_a_reduced_subject() -> None:
    pixels = np.zeros((396, 396, 3), np.uint8)  # 11 to one: a sample hits the middle of a stripe
    pixels[:, ::2] = 255
    placed, opacity = stood(
        pixels, np.full((396, 396), 255, np.uint8), Box(0, 0, 396, 396), (60, 60), baseline="9 50 45 50"
    )
    inside = placed[opacity == 255]
    assert len(inside) == 36 * 36
    assert np.abs(inside.astype(int) - 127).max() <= 14


def test_slope_of_the_baseline() -> None:
    assert resolve_ground_line(perspective("10 80 60 60"), 100, 100).slope == -0.4


def test_a_subject_partly_outside_is_cut() -> None:
    pixels, alpha, box = block(40, 40)
    _, opacity = stood(pixels, alpha, box, (50, 30), baseline="30 20 70 20")
    assert (opacity[:20, 31:] == 255).all()
    assert (opacity[21:] == 0).all()
    assert (opacity[:, :29] == 0).all()


def test_one_pixel_can_stand() -> None:
    _, opacity = stood(*block(1, 1), (1, 1), baseline="0 1 1 1")
    assert opacity.tolist() == [[255]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "1 2 3"}, "3 values"),
        ({"baseline": "a b c d"}, "not a length"),
        ({"baseline": "10 20 10 90"}, "no width"),
        ({"baseline": "50% 20 10% 20"}, "left end first"),
        ({"baseline": "0 20 10 20", "horizon": "1 2"}, "give one"),
    ],
)
def test_perspectives_that_are_refused_without_a_canvas(options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidOption, match=rf"perspective.*{message}"):
        perspective(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "60 20 50% 20"}, "left end first"),
        ({"baseline": "50% 20 50 20"}, "no width"),
        ({"baseline": "10 60 50 90", "horizon": "60"}, "not above"),
        ({"baseline": "10 90 50 60", "horizon": "70%"}, "not above"),
        ({"baseline": "110 60 150 60"}, "outside"),
        ({"baseline": "10 110 50 120"}, "outside"),
    ],
)
def test_perspectives_that_are_refused_on_a_canvas(options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidOption, match=rf"perspective.*{message}"):
        resolve_ground_line(perspective(**options), 100, 100)


def test_a_subject_far_larger_than_the_canvas_is_refused() -> None:
    with pytest.raises(InvalidOption, match="4 times"):
        stood(*block(4, 40), (100, 100), baseline="10 50 60 50")
