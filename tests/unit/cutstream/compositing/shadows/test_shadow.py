from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from skimage.draw import polygon

from cutstream.arrays.cpu import CpuOps
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.perspective import GroundLine, resolve_ground_line, stand
from cutstream.compositing.shadows.shadow import render_shadow
from cutstream.compositing.specs import Light, PerspectiveSpec, ShadowSpec
from cutstream.contract.geometry import parse_baseline
from cutstream.images.geometry import Box
from tests.support.back_ends import DEVICES, back_end

OPS = CpuOps()
TYPES = ("drop", "contact", "cast")


def cast(alpha: Any, depth: Any = None, ops: ArrayOps = OPS, light: Light | None = None, **options: Any) -> Any:
    options = {"type": "cast", **options}
    sent = None if depth is None else ops.to_device(depth)
    return ops.to_host(render_shadow(ops.to_device(alpha), ShadowSpec(**options), light or Light(angle=0), ops, sent))


def canvas(*boxes: tuple[int, int, int, int], width: int = 400, height: int = 300) -> Any:
    """Opaque rectangles: left, top, right, bottom."""
    alpha = np.zeros((height, width), np.uint8)
    for left, top, right, bottom in boxes:
        alpha[top:bottom, left:right] = 255
    return alpha


BOX = canvas((180, 100, 220, 200))
# A body on two legs; the right one stands nearer.
TWO_LEGS = canvas((170, 80, 230, 150), (170, 150, 185, 190), (215, 150, 230, 210))


def centre(strength: Any) -> tuple[float, float]:
    rows, columns = np.mgrid[: strength.shape[0], : strength.shape[1]]
    return np.average(columns, weights=strength), np.average(rows, weights=strength)


@pytest.mark.parametrize("angle", range(0, 360, 30))
@pytest.mark.parametrize("kind", ["drop", "cast"])
def test_shadows_fall_away_from_the_light(kind: str, angle: int) -> None:
    light = Light(angle=angle, length=0.8)
    strength = cast(BOX, type=kind, light=light, softness=2)
    origin = centre(BOX) if kind == "drop" else (200, 200)
    right, down = np.subtract(centre(np.where(strength > 40, strength, 0)), origin)
    fallen = np.degrees(np.arctan2(-right, down)) % 360
    # A cast shadow of a board with a light from the very side is widened, which turns it by a few degrees.
    assert abs((fallen - angle + 180) % 360 - 180) < (1 if kind == "drop" else 15)


def test_drop_is_the_displaced_outline() -> None:
    strength = cast(BOX, type="drop", light=Light(angle=270, length=0.5), softness=0)
    np.testing.assert_array_equal(strength, np.roll(BOX, 50, axis=1))


def test_a_drop_shadow_is_cut_at_the_canvas() -> None:
    strength = cast(canvas((350, 100, 400, 300)), type="drop", light=Light(angle=300, length=1), softness=0)
    assert (strength == 0).all()


@pytest.mark.parametrize("length", [0.25, 0.5, 1.0])
def test_cast_has_the_requested_length(length: float) -> None:
    strength = cast(BOX, light=Light(angle=0, length=length), softness=0)
    reached = np.flatnonzero(strength.max(axis=1) > 50)[-1]
    assert reached == pytest.approx(200 + 100 * length, abs=5)
    back = cast(BOX, light=Light(angle=180, length=length), softness=0)
    assert np.flatnonzero(back.max(axis=1) > 50)[0] == pytest.approx(200 - 100 * length, abs=9)


def test_cast_gets_softer_and_fainter_with_distance() -> None:
    strength = cast(BOX, light=Light(angle=0, length=0.9), softness=20).astype(float)
    middle = strength[205:275, 200]
    assert (np.diff(middle[10:]) <= 0.5).all()
    near, far = (np.abs(np.diff(strength[row, 200:])).max() / strength[row, 200] for row in (210, 260))
    assert near > 1.5 * far

    assert strength[275, 200] < 0.7 * strength[205, 200]


def test_a_shadow_is_wider_nearer_to_the_viewer() -> None:
    towards = cast(BOX, light=Light(angle=0, length=0.9), softness=0)
    away = cast(BOX, light=Light(angle=180, length=0.9), softness=0)
    assert (towards[280] > 60).sum() > 1.1 * (towards[205] > 60).sum()
    assert (away[115] > 60).sum() < 0.9 * (away[195] > 60).sum()


def test_a_shadow_to_the_side_has_the_thickness_of_a_body() -> None:
    """It begins behind the lowest row, where the middle of the body stands."""
    strength = cast(canvas((200, 100, 300, 200)), light=Light(angle=90, length=1), softness=0)
    rows = np.flatnonzero(strength[:, 195] > 60)
    assert len(rows) >= 20
    assert rows[0] < 197


def test_softness_blurs() -> None:
    sharp, soft = (np.abs(np.diff(cast(BOX, type="drop", softness=value).astype(int))).max() for value in (0, 30))
    assert sharp > 100
    assert soft < 20


def test_contact_is_where_the_subject_stands() -> None:
    strength = cast(TWO_LEGS, type="contact")
    assert strength[210, 222] > 130
    assert strength[190, 177] > 60
    assert strength[230, 222] < 10, "it fades away"
    assert strength[150, 200] < 10, "nothing stands between the legs"
    assert strength[151:180, 186:214].max() < 30
    assert strength[210:230, 150:180].max() < 30, "the rear foot does not stand on the front one's row"


def test_contact_of_a_wide_base_follows_its_curve() -> None:
    rows, columns = np.mgrid[:300, :400]
    cup = np.where(
        (abs(columns - 200) < 80)
        & (rows > 80)
        & (rows < 200 + 20 * np.sqrt(1 - ((columns - 200) / 80.0).clip(-1, 1) ** 2)),
        255,
        0,
    )
    strength = cast(cup.astype(np.uint8), type="contact")
    assert strength[220, 200] > 160
    assert strength[217, 150] > 130
    assert strength[240, 200] < 10
    assert strength[100:190].max() < 10


def test_contact_is_lighter_under_an_arch() -> None:
    strength = cast(canvas((100, 100, 300, 190), (100, 190, 180, 196), (194, 190, 300, 196)), type="contact")
    assert strength[190:195, 187].max() < 0.75 * strength[196:200, 150].max()


def standing(baseline: str) -> tuple[Any, GroundLine]:
    """A rectangle half as tall as it is wide; its alpha, and where it stands."""
    spec = PerspectiveSpec(baseline=parse_baseline(baseline))
    photo = ForegroundLayer(np.zeros((80, 160, 3), np.uint8), np.full((80, 160), 255, np.uint8))
    alpha = stand(photo, Box(0, 0, 160, 80), spec, 500, 400, OPS).alpha
    return alpha, resolve_ground_line(spec, 500, 400)


@pytest.mark.parametrize("baseline", ["170 150 330 230", "170 230 330 150"])
@pytest.mark.parametrize("angle", [0, 50, 310, 150, 210])
def test_in_perspective_it_begins_at_the_baseline(baseline: str, angle: float) -> None:
    alpha, ground = standing(baseline)
    light = Light(angle=angle, length=0.6)
    laid = render_shadow(alpha, ShadowSpec(type="cast", softness=0), light, OPS, ground=ground) > 90
    ends = np.array([ground.left, ground.right, ground.right, ground.left], float)
    away = np.array([-np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    ends[2:] += away * 0.6 * ground.length / 2
    expected = np.zeros(alpha.shape, bool)
    expected[polygon(ends[:, 1], ends[:, 0], alpha.shape)] = True
    assert (laid & expected).sum() > 0.8 * expected.sum()
    # A body is thicker than a board, and nearer parts are wider.
    assert not (laid & ~binary_dilation(expected, np.ones((3, 3)), iterations=22)).any()


@pytest.mark.parametrize("baseline", ["170 150 330 230", "170 230 330 150"])
def test_in_perspective_it_is_equally_dark_along_the_baseline(baseline: str) -> None:
    alpha, ground = standing(baseline)
    for kind, below in (("contact", 1), ("cast", 20), ("cast", 40)):
        strength = render_shadow(alpha, ShadowSpec(type=kind), Light(angle=0), OPS, ground=ground)
        left, middle, right = (
            int(strength[round(ground.left[1] + ground.slope * (column + 0.5 - 170)) + below, column])
            for column in (195, 250, 305)
        )
        assert middle > 50
        assert max(left, right, middle) < 1.25 * min(left, right, middle)


def test_with_depth_each_leg_stands_on_its_own_ground() -> None:
    """The rear leg's shadow begins at the rear foot, and the front leg's where it began without depth."""
    depth = np.full(TWO_LEGS.shape, 60, np.uint8)
    depth[:, :200] = 100
    depth[:, 200:] = 160
    depth[:150] = 130
    light = Light(angle=0, length=0.5)
    flat, deep = (cast(TWO_LEGS, each, light=light, softness=0) for each in (None, depth))
    rear, front = slice(173, 182), slice(218, 227)
    assert flat[196:202, rear].max() < 40
    assert deep[196:202, rear].min() > 120
    assert flat[213:217, front].min() > 120
    assert deep[213:217, front].min() > 120


def test_with_depth_the_shadow_of_one_body_is_one() -> None:
    """A wall that recedes to the left: its parts overlap, and a jump in depth leaves no gap."""
    rows, columns = np.mgrid[:300, :400]
    wall = np.where((abs(columns - 200) < 90) & (rows > 60) & (rows < 190 + 0.08 * (columns - 200)), 255, 0)
    depth = (columns * 0.6).astype(np.uint8)
    strength = cast(wall.astype(np.uint8), depth, light=Light(angle=0, length=0.6), softness=0)
    assert strength[200:230, 130:270].min() > 90
    jump = np.where(columns < 200, 100, 160).astype(np.uint8)
    jump[:150] = 130
    down_the_leg = cast(TWO_LEGS, jump, light=Light(angle=0, length=0.5))[191:230, 177]
    assert down_the_leg.min() > 40


NEARLY_LEVEL = np.where(np.mgrid[:300, :400][1] < 200, 90, 94).astype(np.uint8)


@pytest.mark.parametrize("depth", [NEARLY_LEVEL, np.zeros(TWO_LEGS.shape, np.uint8)])
def test_a_level_depth_changes_nothing(depth: Any) -> None:
    np.testing.assert_array_equal(cast(TWO_LEGS, depth), cast(TWO_LEGS))


def test_a_depth_with_the_higher_foot_nearer_is_not_used() -> None:
    depth = np.full(TWO_LEGS.shape, 200, np.uint8)
    depth[:, 200:] = 20
    np.testing.assert_array_equal(cast(TWO_LEGS, depth), cast(TWO_LEGS))


@pytest.mark.parametrize("kind", TYPES)
def test_no_subject_no_shadow(kind: str) -> None:
    assert (cast(canvas(), type=kind) == 0).all()
    assert (cast(np.full((30, 40), 25, np.uint8), type=kind) == 0).all()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("size", [(1, 1), (1, 600), (700, 1), (3, 2), (1201, 803)])
@pytest.mark.parametrize("angle", [0, 90, 180, 315])
def test_any_size_and_a_subject_that_touches_every_border(kind: str, size: Any, angle: float) -> None:
    full = np.full(size, 255, np.uint8)
    for length in (None, 0, 5):
        strength = cast(full, full, type=kind, light=Light(angle=angle, length=length))
        assert strength.shape == size
        assert strength.dtype == np.uint8


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("kind", TYPES)
def test_devices_agree(name: str, kind: str) -> None:
    depth = np.tile(np.linspace(0, 255, 400).astype(np.uint8), (300, 1))
    light = Light(angle=40)
    expected = cast(TWO_LEGS, depth, type=kind, light=light)
    result = cast(TWO_LEGS, depth, back_end(name), type=kind, light=light)
    assert np.abs(result.astype(int) - expected).max() <= 2
