from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.shadows.detection import DetectedShadow, SurfaceMap, detect_shadows, find_components
from cutstream.compositing.shadows.light_estimation import estimate_light
from tests.support.sunlight import scene

OPS = CpuOps()


def mask(*boxes: tuple[int, int, int, int], height: int = 160, width: int = 240) -> Any:
    """Return a mask of boxes: left, top, right, bottom."""
    filled = np.zeros((height, width), np.uint8)
    for left, top, right, bottom in boxes:
        filled[top:bottom, left:right] = 255
    return filled


def detected(shadows: Any, objects: Any) -> list[DetectedShadow]:
    return detect_shadows(SurfaceMap(np.full(shadows.shape, 400, np.float32), shadows, objects), OPS)


def test_a_long_shadow_falls_along_its_axis_away_from_its_object() -> None:
    (shadow,) = detected(mask((100, 100, 140, 106)), mask((140, 66, 152, 106)))
    np.testing.assert_allclose(shadow.direction, (-1, 0), atol=1e-3)
    assert shadow.length == pytest.approx(46 / 40, abs=0.05)


def test_a_short_shadow_falls_away_from_the_contact() -> None:
    (shadow,) = detected(mask((100, 100, 150, 112)), mask((100, 60, 150, 100)))
    np.testing.assert_allclose(shadow.direction, (0, 1), atol=0.1)


def test_without_an_object_only_the_axis_is_known() -> None:
    (shadow,) = detected(mask((100, 100, 140, 106)), mask((10, 10, 30, 40)))
    assert shadow.length is None
    assert abs(shadow.direction[0]) == pytest.approx(1)


def test_a_round_shadow_without_an_object_has_no_weight() -> None:
    (shadow,) = detected(mask((100, 100, 120, 120)), mask())
    assert shadow.weight == 0


def test_a_shadow_surrounded_by_objects_is_part_of_them() -> None:
    assert not detected(mask((100, 100, 140, 106)), mask((90, 90, 150, 100), (90, 106, 150, 116)))


@pytest.mark.parametrize("thing", [(140, 0, 150, 106), (134, 100, 142, 110)])
def test_a_far_too_large_or_small_object_does_not_cast_the_shadow(thing: tuple[int, int, int, int]) -> None:
    size = (4, 4) if thing[1] == 0 else (40, 6)
    assert not detected(mask((140 - size[0], 102, 140, 102 + size[1])), mask(thing))


def test_lower_shadows_have_more_weight() -> None:
    (high,), (low,) = (detected(mask((100, top, 140, top + 6)), mask()) for top in (10, 130))
    assert low.weight > 1.5 * high.weight


def test_specks_and_halves_of_the_image_are_not_components() -> None:
    both = mask((0, 0, 120, 160), (200, 20, 205, 24), (200, 50, 220, 70))
    (only,) = find_components(both, OPS)
    np.testing.assert_array_equal(only, mask((200, 50, 220, 70)))


def ground(*stripes: Any, level: int = 90) -> Any:
    """Slanting dark stripes on grey."""
    picture = np.full((180, 240, 3), 180, np.uint8)
    rows, columns = np.mgrid[:180, :240]
    for at in stripes:
        inside = (abs(columns - at + (rows - 90) * 0.5) < 5) & (abs(rows - 100) < 40)
        picture[inside] = level
    return picture


def test_stripes_without_objects_fall_towards_the_viewer() -> None:
    light = estimate_light(ground(60, 160), OPS)
    assert (light.cue, light.length) == ("shadows", None)
    assert light.angle == pytest.approx(np.degrees(np.arctan(0.5)), abs=4)


def test_one_dark_stripe_is_no_evidence_and_black_ones_are_not_shadows() -> None:
    assert estimate_light(ground(100), OPS).cue == "none"
    assert estimate_light(ground(60, 160, level=10), OPS).cue == "none"


def test_contradicting_shadows_are_no_evidence() -> None:
    both = np.hstack([scene(90, 1.2, seed=5)[:, :360], scene(270, 1.2, seed=5)[:, 100:]])
    assert estimate_light(both, OPS).cue != "shadows"
