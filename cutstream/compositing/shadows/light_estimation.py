"""Where the light of a background picture comes from: `light: auto`.

Cast shadows say it best: regions that are darker than their surroundings and of the same colour. Where there are none,
the side to which the picture gets brighter is taken for the light's. An estimate, not a measurement: dark things of the
ground's own colour pass for shadows, and one picture does not tell a shadow's direction from its opposite unless what
throws it can be seen.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.compositing.shadows.detection import Cast, casts, survey
from cutstream.compositing.shadows.penumbra import softness_of
from cutstream.contract.options import Light, Shadow
from cutstream.images import Pixels

WORKING_SIDE = 256
NOMINAL_SIDE = 1000

# Length of the mean of the shadows' directions, below which they contradict each other.
AGREEMENT, WITHOUT_THROWERS = 0.5, 0.8
FAINTEST = 0.1  # how much brighter the light's side has to be, over the long side, as a share of the mean


class EstimatedLight(NamedTuple):
    """`angle` and `length` as in `Light`, `softness` as in `Shadow`; None where the picture does not say.

    `cue` is what they are taken from. Of `none` the angle is `Light`'s default.
    """

    angle: float
    length: float | None
    softness: float | None
    cue: Literal["shadows", "shading", "none"]


def lit(how: Shadow, background: Pixels | None, ops: ArrayOps) -> tuple[Shadow, Light]:
    """`how` with the light that it asks for, and that light: given, or found in the background (u8 HWC).

    Of what is found, `cast` takes all, `drop` all but the length, which is one on the ground, and `contact` nothing:
    it comes from no direction.
    """
    if how.light != "auto":
        return how, how.light
    if background is None:
        return how, Light()
    found = light_of(background, ops)
    light = Light(angle=found.angle, length=found.length if how.type == "cast" else None)
    softness = found.softness if how.softness is None and how.type != "contact" else how.softness
    return msgspec.structs.replace(how, light=light, softness=softness), light


def light_of(picture: Pixels, ops: ArrayOps) -> EstimatedLight:
    """Of a u8 HWC picture of any size. The host waits for masks of a reduced size."""
    height, width = picture.shape[:2]
    shrink = min(1.0, WORKING_SIDE / max(height, width))
    columns, rows = (max(1, round(side * shrink)) for side in (width, height))
    ground = survey(ops.resize_area(picture, columns, rows), ops)
    brighter = _brighter(ops.to_host(ground.light))  # sync: 170 KB; all that follows are small statistics
    found = casts(ground, ops)
    fallen = _common_direction(found, brighter)
    if fallen is not None:
        softness = softness_of(ground, [each.mask for each in found], ops)
        unit = NOMINAL_SIDE / max(rows, columns)
        return EstimatedLight(_angle(-fallen), _length(found), None if softness is None else softness * unit, "shadows")
    if math.hypot(*brighter) >= FAINTEST:
        return EstimatedLight(_angle(brighter), None, None, "shading")
    return EstimatedLight(Light().angle, None, None, "none")


def _common_direction(found: list[Cast], brighter: Floats) -> Floats | None:
    """Right and down, of length 1. Large shadows count more, and long ones."""
    signed = [each for each in found if each.length is not None]
    if signed:
        return _mean(signed, AGREEMENT)
    if len(found) < 2:
        return None  # one dark stripe is no evidence
    # What throws them is not seen: they fall away from the bright side, or else towards the viewer, since behind what
    # throws them they would be hidden.
    sense = -brighter if math.hypot(*brighter) >= FAINTEST else np.array([0, 1], np.float32)
    turned = [each._replace(direction=each.direction * np.where(each.direction @ sense < 0, -1, 1)) for each in found]
    return _mean(turned, WITHOUT_THROWERS)


def _mean(found: list[Cast], agreement: float) -> Floats | None:
    total = sum((each.weight * each.direction for each in found), np.zeros(2, np.float32))
    length = np.hypot(*total)
    if length == 0 or length < agreement * sum(each.weight for each in found):
        return None
    return np.asarray(total / length, np.float32)


def _length(found: list[Cast]) -> float | None:
    lengths = [each.length for each in found if each.length is not None]
    return float(np.median(lengths)) if lengths else None


def _brighter(light: Floats) -> Floats:
    """Right and down: the slope of the plane through the brightness, over the long side, as a share of the mean."""
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in light.shape)
    slopes = [(light.mean(axis=1 - axis) @ at) / max(at @ at, 1e-9) for axis, at in ((1, columns), (0, rows))]
    over_all = max(light.shape) / max(float(light.mean()), 1e-9)
    return np.array([slope * over_all for slope in slopes], np.float32)


def _angle(towards: Floats) -> float:
    """Of a light in this direction (right, down)."""
    right, down = towards
    return math.degrees(math.atan2(right, -down)) % 360
