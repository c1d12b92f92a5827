from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from skimage import data

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.shadows.light_estimation import EstimatedLight, estimate_light, resolve_light
from cutstream.compositing.specs import Light, ShadowSpec
from tests.support.back_ends import DEVICES, back_end
from tests.support.sunlight import scene, shaded

OPS = CpuOps()
ANGLES = range(0, 360, 30)


@cache
def estimated(length: float, softness: float, noise: float = 4.0) -> dict[int, EstimatedLight]:
    return {angle: estimate_light(scene(angle, length, softness, noise, seed=angle), OPS) for angle in ANGLES}


def apart(angle: float, truth: float) -> float:
    return abs((angle - truth + 180) % 360 - 180)


@pytest.mark.parametrize(
    ("length", "softness", "noise"), [(1.2, 1, 4), (1.2, 3, 4), (1.2, 6, 4), (1.6, 3, 4), (1.6, 6, 8)]
)
def test_angle_of_cast_shadows(length: float, softness: float, noise: float) -> None:
    lights = estimated(length, softness, noise)
    # Of a shadow that falls straight backwards most is hidden by what throws it.
    assert {light.cue for angle, light in lights.items() if angle != 180 or length > 1.5} == {"shadows"}
    errors = [apart(light.angle, angle) for angle, light in lights.items() if light.cue == "shadows"]
    assert np.median(errors) <= 5
    assert max(errors) <= 25


@pytest.mark.parametrize("angle", [angle for angle in ANGLES if not 150 <= angle <= 210])
def test_angle_of_short_shadows(angle: int) -> None:
    """Shadows that fall backwards are hidden behind their objects, and are left out."""
    light = estimate_light(scene(angle, length=0.7, seed=angle), OPS)
    assert light.cue == "shadows"
    assert apart(light.angle, angle) <= 20


@pytest.mark.parametrize("length", [0.7, 1.2, 1.6])
def test_length_of_cast_shadows(length: float) -> None:
    lengths = [light.length for light in estimated(length, 3).values() if light.length]
    assert len(lengths) >= 10
    assert np.median(lengths) == pytest.approx(length, rel=0.15)


@pytest.mark.parametrize("softness", [3, 6])
def test_softness_of_cast_shadows(softness: float) -> None:
    """Softness is in pixels of an image whose long side is 1000; the scenes' is 480."""
    values = [light.softness for light in estimated(1.2, softness).values() if light.softness is not None]
    assert len(values) >= 10
    assert np.median(values) * 0.48 == pytest.approx(softness, rel=0.25)


def test_sharp_shadows_measure_sharper_than_soft_ones() -> None:
    sharp, soft = (np.median([light.softness or 0 for light in estimated(1.2, blur).values()]) for blur in (0.1, 6))
    assert sharp * 0.48 < 0.5
    assert sharp < soft / 10


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("noise", [0, 8])
def test_angle_of_shading(angle: int, noise: float) -> None:
    light = estimate_light(shaded(angle, noise, seed=angle), OPS)
    assert light.cue == "shading"
    assert (light.length, light.softness) == (None, None)
    assert apart(light.angle, angle) < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (20, 30), (600, 400)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_image_gives_the_default_light(size: Any, level: int) -> None:
    assert estimate_light(np.full((*size, 3), level, np.uint8), OPS) == EstimatedLight(
        Light().angle, None, None, "none"
    )


def test_noise_gives_no_light() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    assert estimate_light(noise, OPS).cue == "none"


@pytest.mark.parametrize("name", ["coins", "coffee", "rocket", "chelsea", "astronaut", "gravel"])
def test_any_photo_gives_a_light_within_the_contracts_ranges(name: str) -> None:
    photo = getattr(data, name)()
    estimate = estimate_light(photo if photo.ndim == 3 else np.dstack([photo] * 3), OPS)
    assert 0 <= estimate.angle <= 360
    assert estimate.length is None or 0 <= estimate.length <= 5
    assert estimate.softness is None or 0 <= estimate.softness <= 100


@pytest.mark.parametrize("name", DEVICES)
def test_devices_agree(name: str) -> None:
    ops = back_end(name)
    for picture in (scene(60, 1.2), shaded(200, size=(40, 60))):
        expected, result = estimate_light(picture, OPS), estimate_light(ops.to_device(picture), ops)
        assert result.cue == expected.cue
        assert apart(result.angle, expected.angle) < 1


def test_a_given_light_is_used() -> None:
    spec = ShadowSpec(type="cast", light=Light(angle=12))
    assert resolve_light(spec, scene(200, 1.2), OPS) == (spec, Light(angle=12))


def test_auto_takes_light_and_softness_of_the_background() -> None:
    background = scene(60, 1.2, softness=3)
    estimate = estimate_light(background, OPS)
    shadow, light = resolve_light(ShadowSpec(type="cast", light="auto", opacity=0.3), background, OPS)
    assert light == Light(angle=estimate.angle, length=estimate.length)
    assert shadow == ShadowSpec(type="cast", light=light, opacity=0.3, softness=estimate.softness)
    dropped, above = resolve_light(ShadowSpec(type="drop", light="auto"), background, OPS)
    assert (above, dropped.softness) == (Light(angle=estimate.angle), estimate.softness)
    assert resolve_light(ShadowSpec(type="contact", light="auto"), background, OPS)[0].softness is None
    kept, _ = resolve_light(ShadowSpec(type="cast", light="auto", softness=7), background, OPS)
    assert kept.softness == 7
