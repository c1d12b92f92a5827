"""Render a subject's shadow on its canvas. Shadows are soft, so they are made at a reduced size and enlarged."""

from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.compositing.perspective import GroundLine
from cutstream.compositing.shadows.blur import gaussian_blur
from cutstream.compositing.shadows.cast import cast_shadow, shadow_direction
from cutstream.compositing.shadows.contact import Baseline, contact_shadow
from cutstream.compositing.specs import Light, ShadowSpec
from cutstream.images import Matte
from cutstream.images.geometry import NOMINAL_LONG_SIDE, Box, reduced_size
from cutstream.matting.measure import VISIBLE

WORKING_SIDE = 500

DROP_LENGTH = 0.03  # in heights of the subject
DROP_SOFTNESS = 10  # standard deviation, for a long side of 1000


def render_shadow(
    alpha: Matte,
    spec: ShadowSpec,
    light: Light,
    ops: ArrayOps,
    depth: Matte | None = None,
    ground: GroundLine | None = None,
) -> Matte:
    """Return how much light is taken away, u8 HW: 0 none, 255 as much as `opacity` allows.

    `alpha` (u8 HW) is the subject's on its canvas; the values under the subject itself do not matter. `light` is the
    one that `resolve_light` returns. `depth` (u8 HW, of the same canvas, larger is nearer) lets a `cast` shadow stand
    each part on its own ground. `ground` is the line on which a subject in perspective stands.
    """
    height, width = alpha.shape
    columns, rows = reduced_size(width, height, WORKING_SIDE)
    small = ops.resize_area(alpha, columns, rows)
    bounds = ops.bounding_box(small, VISIBLE)
    if bounds is None:
        return ops.xp.zeros_like(alpha)  # type: ignore[no-any-return]
    box = Box(*bounds)
    baseline = _baseline(ground, box, columns / width, rows / height)
    softness = None if spec.softness is None else spec.softness * max(rows, columns) / NOMINAL_LONG_SIDE
    match spec.type:
        case "drop":
            sigma = DROP_SOFTNESS * max(rows, columns) / NOMINAL_LONG_SIDE if softness is None else softness
            strength = _drop_shadow(small, box, light, sigma, ops)
        case "contact":
            strength = _to_levels(contact_shadow(small, box, baseline, softness, ops), ops)
        case "cast":
            small_depth = None if depth is None else ops.resize_area(depth, columns, rows)
            strength = _to_levels(cast_shadow(small, box, baseline, light, softness, small_depth, ops), ops)
    return ops.resize_linear(strength, width, height)


def _baseline(ground: GroundLine | None, box: Box, column_factor: float, row_factor: float) -> Baseline:
    """Return the baseline at the reduced size; without a ground line it is level, below the subject."""
    if ground is None:
        return Baseline(float(box.bottom), 0.0)
    slope = ground.slope * row_factor / column_factor
    return Baseline(ground.left[1] * row_factor - slope * ground.left[0] * column_factor, slope)


def _drop_shadow(alpha: Matte, box: Box, light: Light, sigma: float, ops: ArrayOps) -> Matte:
    """Move the outline away from the light, and blur it."""
    length = (DROP_LENGTH if light.length is None else light.length) * box.height
    right, down = shadow_direction(light.angle)
    back = np.array([[1, 0, -right * length], [0, 1, -down * length], [0, 0, 1]])
    return gaussian_blur(ops.warp(alpha, back, alpha.shape[1], alpha.shape[0]), sigma, ops)


def _to_levels(strength: Floats, ops: ArrayOps) -> Matte:
    return (strength * np.float32(255) + np.float32(0.5)).astype(ops.xp.uint8)
