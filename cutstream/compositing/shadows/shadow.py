"""The subject's shadow on its canvas. Shadows are soft: they are made at a reduced size and enlarged."""

from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.compositing.perspective import Ground
from cutstream.compositing.shadows.blur import blurred
from cutstream.compositing.shadows.cast import cast, direction
from cutstream.compositing.shadows.contact import Base, contact
from cutstream.contract.colours import parse_colour
from cutstream.contract.options import Background, Light, Shadow, ShadowType
from cutstream.errors import InvalidOption
from cutstream.images import Matte
from cutstream.images.geometry import Box
from cutstream.matting.measure import VISIBLE

WORKING_SIDE = 500
NOMINAL_SIDE = 1000

DROP_LENGTH = 0.03  # in heights of the subject
DROP_SOFTNESS = 10


def wanted_shadow(shadow: ShadowType | Shadow | None) -> Shadow | None:
    return Shadow(type=shadow) if isinstance(shadow, str) else shadow


def check_shadow(how: Shadow, background: Background) -> None:
    """All that can be said without the photo. Raises `InvalidOption`."""
    parse_colour("shadow.color", how.color)
    if how.light == "auto" and background.image is None:
        raise InvalidOption("shadow.light: 'auto' looks at `background.image`: give one, or the light's angle")
    if how.depth and how.type != "cast":
        raise InvalidOption(f"shadow.depth does nothing for type {how.type!r}: use 'cast', or leave it out")


def shadow(
    alpha: Matte, how: Shadow, light: Light, ops: ArrayOps, depth: Matte | None = None, ground: Ground | None = None
) -> Matte:
    """How much of the light is taken away, u8 HW: 0 nothing, 255 all that `opacity` allows.

    `alpha` (u8 HW) is the subject's on its canvas; what is under the subject itself is no matter. `light` is
    `how.light`, or what `light_of` found. `depth` (u8 HW, of the same canvas, larger is nearer) is for `cast`: it
    lets each part stand on its own ground. `ground` is where a subject in perspective stands.
    """
    height, width = alpha.shape
    shrink = min(1.0, WORKING_SIDE / max(width, height))
    columns, rows = (max(1, round(side * shrink)) for side in (width, height))
    small = ops.resize_area(alpha, columns, rows)
    found = ops.bounding_box(small, VISIBLE)
    if found is None:
        return ops.xp.zeros_like(alpha)  # type: ignore[no-any-return]
    box = Box(*found)
    base = _base(ground, box, columns / width, rows / height)
    softness = None if how.softness is None else how.softness * max(rows, columns) / NOMINAL_SIDE
    if how.type == "drop":
        sigma = DROP_SOFTNESS * max(rows, columns) / NOMINAL_SIDE if softness is None else softness
        strength = _drop(small, box, light, sigma, ops)
    elif how.type == "contact":
        strength = _levels(contact(small, box, base, softness, ops), ops)
    else:
        deep = None if depth is None else ops.resize_area(depth, columns, rows)
        strength = _levels(cast(small, box, base, light, softness, deep, ops), ops)
    return ops.resize_linear(strength, width, height)


def _base(ground: Ground | None, box: Box, across: float, down: float) -> Base:
    """At the reduced size; level below the subject where nothing else is said."""
    if ground is None:
        return Base(float(box.bottom), 0.0)
    slope = ground.slope * down / across
    return Base(ground.left[1] * down - slope * ground.left[0] * across, slope)


def _drop(alpha: Matte, box: Box, light: Light, sigma: float, ops: ArrayOps) -> Matte:
    length = (DROP_LENGTH if light.length is None else light.length) * box.height
    right, down = direction(light.angle)
    back = np.array([[1, 0, -right * length], [0, 1, -down * length], [0, 0, 1]])
    return blurred(ops.warp(alpha, back, alpha.shape[1], alpha.shape[0]), sigma, ops)


def _levels(strength: Floats, ops: ArrayOps) -> Matte:
    return (strength * np.float32(255) + np.float32(0.5)).astype(ops.xp.uint8)
