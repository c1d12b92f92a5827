"""Parts of a subject that stand at different depths, each on its own row of the ground.

What is farther away stands higher in the picture. On level ground seen from afar, depth is about linear in the row:
the line is fitted to the points in which the subject stands, so that only those need to be right in the depth map.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.compositing.shadows.contact import Base, footing
from cutstream.images import Matte
from cutstream.images.geometry import Box

MOST_PARTS = 6
STANDS = 0.2  # of `footing`
INSIDE = 0.02  # of the height: how far above its lowest point a foot's depth is read
FEWEST_LEVELS = 4.0  # deviation of the feet's depths, of 255, below which they stand side by side
SEAM = 0.03  # of the height: how far depths mix, so that a leg's shadow does not part from the body's
OVERLAP = 0.75  # of the distance between parts, to either side


class Part(NamedTuple):
    """`base` is the lower edge of the row of the ground on which this part of alpha (u8 HW) stands."""

    alpha: Matte
    base: float


class Slope(NamedTuple):
    """Row of the ground = `at_zero` + `per_level` · depth, from row `farthest` to row `nearest`."""

    at_zero: float
    per_level: float
    farthest: float
    nearest: float


def parts(alpha: Matte, box: Box, depth: Matte, spacing: float, ops: ArrayOps) -> list[Part]:
    """At least one, from far to near; `spacing` is the distance of their bases at which they need not be finer."""
    levels = _smooth(alpha, depth, 2 * round(SEAM * box.height) + 1, ops)
    slope = _slope(alpha, box, levels, ops)
    if slope is None or slope.nearest - slope.farthest < 1:
        return [Part(alpha, float(box.bottom))]
    span = slope.nearest - slope.farthest
    count = min(MOST_PARTS, max(2, math.ceil(span / max(spacing, 1)) + 1))
    step = span / (count - 1)
    rows = levels * np.float32(slope.per_level) + np.float32(slope.at_zero)
    rows = ops.xp.clip(rows, slope.farthest, slope.nearest)
    bases = [slope.farthest + step * number for number in range(count)]
    return [Part((ops.xp.abs(rows - np.float32(base)) <= OVERLAP * step) * alpha, base) for base in bases]


def _smooth(alpha: Matte, depth: Matte, window: int, ops: ArrayOps) -> Floats:
    """The mean depth of what of the subject is in a window: none of the background's."""
    weight = ops.box(alpha * np.float32(1 / 255), window, window)
    total = ops.box(alpha * np.float32(1 / 255) * depth, window, window)
    return total / ops.xp.maximum(weight, np.float32(1e-3))  # type: ignore[no-any-return]


def _slope(alpha: Matte, box: Box, depth: Floats, ops: ArrayOps) -> Slope | None:
    """None where the feet are side by side, or the depth map says that higher ones are nearer."""
    rows, standing = footing(alpha, box, Base(float(box.bottom), 0.0), ops)
    inside = ops.xp.maximum(rows - np.float32(1 + INSIDE * box.height), 0).astype(ops.xp.int32)
    columns = ops.xp.arange(alpha.shape[1])
    row, level, weight = ops.to_host(
        ops.xp.stack([rows, depth[inside, columns], standing])
    )  # sync: 6 KB, for a line through them
    weight = np.where(weight > STANDS, weight, 0).astype(np.float64)
    if not weight.any():
        return None
    mean_row, mean_level = np.average(row, weights=weight), np.average(level, weights=weight)
    variance = np.average((level - mean_level) ** 2, weights=weight)
    if variance < FEWEST_LEVELS**2:
        return None
    per_level = float(np.average((level - mean_level) * (row - mean_row), weights=weight) / variance)
    if per_level <= 0:
        return None
    feet = row[weight > 0]
    return Slope(float(mean_row - per_level * mean_level), per_level, float(feet.min()), float(feet.max()))
