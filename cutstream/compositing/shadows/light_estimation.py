"""Estimate where the light of a background comes from, for shadows with `light: auto`.

Cast shadows are the best evidence: regions darker than their surroundings and of the same colour. Without any, the
light is taken to come from the side towards which the image gets brighter. This is an estimate, not a measurement: dark
things of the ground's own colour pass for shadows, and a single image does not tell a shadow's direction from its
opposite unless the object that casts it can be seen.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.compositing.shadows.detection import DetectedShadow, detect_shadows, map_surfaces
from cutstream.compositing.shadows.penumbra import estimate_softness
from cutstream.compositing.specs import Light, ShadowSpec
from cutstream.images import Pixels
from cutstream.images.geometry import NOMINAL_LONG_SIDE, reduced_size

WORKING_SIDE = 256

# Length of the mean of the shadows' directions, below which they contradict each other; the second is for shadows whose
# objects are not seen.
AGREEMENT, AGREEMENT_WITHOUT_OBJECTS = 0.5, 0.8
MIN_SHADING = 0.1  # how much brighter the light's side is, over the long side, as a share of the mean


class EstimatedLight(NamedTuple):
    """The light's `angle` and `length` as in `Light`, and its shadows' `softness` as in `ShadowSpec`.

    `cue` is the evidence; with `none` the angle is `Light`'s default. `length` and `softness` are None if the image
    does not show them.
    """

    angle: float
    length: float | None
    softness: float | None
    cue: Literal["shadows", "shading", "none"]


def resolve_light(spec: ShadowSpec, background: Pixels | None, ops: ArrayOps) -> tuple[ShadowSpec, Light]:
    """Return the shadow's light, and `spec` with that light: as given, or for `auto` from the background (u8 HWC).

    `cast` takes everything from the background; `drop` all but the length, which is measured on the ground; `contact`
    nothing, since it comes from no direction.
    """
    if spec.light != "auto":
        return spec, spec.light
    if background is None:
        return spec, Light()
    estimate = estimate_light(background, ops)
    light = Light(angle=estimate.angle, length=estimate.length if spec.type == "cast" else None)
    softness = estimate.softness if spec.softness is None and spec.type != "contact" else spec.softness
    return replace(spec, light=light, softness=softness), light


def estimate_light(image: Pixels, ops: ArrayOps) -> EstimatedLight:
    """Estimate the light of a u8 HWC image of any size. The host waits for masks of a reduced size."""
    height, width = image.shape[:2]
    columns, rows = reduced_size(width, height, WORKING_SIDE)
    surfaces = map_surfaces(ops.resize_area(image, columns, rows), ops)
    shading = _shading(ops.to_host(surfaces.brightness))  # sync: 170 KB; all that follows are small statistics
    shadows = detect_shadows(surfaces, ops)
    direction = _common_direction(shadows, shading)
    if direction is not None:
        softness = estimate_softness(surfaces, [shadow.mask for shadow in shadows], ops)
        factor = NOMINAL_LONG_SIDE / max(rows, columns)
        nominal_softness = None if softness is None else softness * factor
        return EstimatedLight(_angle(-direction), _median_length(shadows), nominal_softness, "shadows")
    if math.hypot(*shading) >= MIN_SHADING:
        return EstimatedLight(_angle(shading), None, None, "shading")
    return EstimatedLight(Light().angle, None, None, "none")


def _common_direction(shadows: list[DetectedShadow], shading: Floats) -> Floats | None:
    """Return the direction in which the shadows fall, right and down, of length 1; None if there is none in common."""
    with_object = [shadow for shadow in shadows if shadow.length is not None]
    if with_object:
        return _mean_direction(with_object, AGREEMENT)
    if len(shadows) < 2:
        return None  # one dark stripe is no evidence
    # The objects that cast them are not seen. They fall away from the bright side; without one they fall towards the
    # viewer, since behind their objects they would be hidden.
    sense = -shading if math.hypot(*shading) >= MIN_SHADING else np.array([0, 1], np.float32)
    turned = [
        shadow._replace(direction=shadow.direction * np.where(shadow.direction @ sense < 0, -1, 1))
        for shadow in shadows
    ]
    return _mean_direction(turned, AGREEMENT_WITHOUT_OBJECTS)


def _mean_direction(shadows: list[DetectedShadow], agreement: float) -> Floats | None:
    total = sum((shadow.weight * shadow.direction for shadow in shadows), np.zeros(2, np.float32))
    length = np.hypot(*total)
    if length == 0 or length < agreement * sum(shadow.weight for shadow in shadows):
        return None
    return np.asarray(total / length, np.float32)


def _median_length(shadows: list[DetectedShadow]) -> float | None:
    lengths = [shadow.length for shadow in shadows if shadow.length is not None]
    return float(np.median(lengths)) if lengths else None


def _shading(brightness: Floats) -> Floats:
    """Return the slope of brightness to the right and down, over the long side, as a share of the mean."""
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in brightness.shape)
    slopes = [(brightness.mean(axis=1 - axis) @ at) / max(at @ at, 1e-9) for axis, at in ((1, columns), (0, rows))]
    over_all = max(brightness.shape) / max(float(brightness.mean()), 1e-9)
    return np.array([slope * over_all for slope in slopes], np.float32)


def _angle(direction: Floats) -> float:
    """Return the angle (as in `Light`) of a light in this direction (right, down)."""
    right, down = direction
    return math.degrees(math.atan2(right, -down)) % 360
