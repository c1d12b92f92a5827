"""Split a subject into parts that stand at different depths, each on its own row of the ground.

A point that is farther away stands higher in the image. On level ground seen from afar, depth is about linear in the
row: the line is fitted to the points in which the subject stands, so the depth map needs to be right only there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.compositing.shadows.contact import Baseline, find_footing
from cutstream.images import Matte
from cutstream.images.geometry import Box

MAX_LAYERS = 6
STANDS = 0.2  # value of `find_footing` from which a column stands on the ground
INSIDE = 0.02  # in heights of the subject: how far above its lowest point a foot's depth is read
MIN_DEVIATION = 4.0  # of the feet's depths, in levels of 255; below it they stand side by side
SEAM = 0.03  # in heights of the subject: how far depths mix, so that a leg's shadow does not part from the body's
OVERLAP = 0.75  # in distances between layers, to either side


class DepthLayer(NamedTuple):
    """A part of the subject's alpha (u8 HW), and the lower edge of the row of the ground on which it stands."""

    alpha: Matte
    ground_row: float


class GroundByDepth(NamedTuple):
    """The line `row = at_zero + per_level · depth`, from row `farthest` to row `nearest`."""

    at_zero: float
    per_level: float
    farthest: float
    nearest: float


def split_by_depth(alpha: Matte, box: Box, depth: Matte, spacing: float, ops: ArrayOps) -> list[DepthLayer]:
    """Return at least one layer, from far to near. Rows closer than `spacing` would gain nothing."""
    levels = _mean_depth(alpha, depth, 2 * round(SEAM * box.height) + 1, ops)
    ground = _fit_ground(alpha, box, levels, ops)
    if ground is None or ground.nearest - ground.farthest < 1:
        return [DepthLayer(alpha, float(box.bottom))]
    span = ground.nearest - ground.farthest
    count = min(MAX_LAYERS, max(2, math.ceil(span / max(spacing, 1)) + 1))
    step = span / (count - 1)
    rows = levels * np.float32(ground.per_level) + np.float32(ground.at_zero)
    rows = ops.xp.clip(rows, ground.farthest, ground.nearest)
    layer_rows = [ground.farthest + step * number for number in range(count)]
    return [DepthLayer((ops.xp.abs(rows - np.float32(row)) <= OVERLAP * step) * alpha, row) for row in layer_rows]


def _mean_depth(alpha: Matte, depth: Matte, window: int, ops: ArrayOps) -> Floats:
    """Return the mean depth of the subject's pixels in a window, without the background's."""
    weight = ops.box(alpha * np.float32(1 / 255), window, window)
    total = ops.box(alpha * np.float32(1 / 255) * depth, window, window)
    return total / ops.xp.maximum(weight, np.float32(1e-3))  # type: ignore[no-any-return]


def _fit_ground(alpha: Matte, box: Box, depth: Floats, ops: ArrayOps) -> GroundByDepth | None:
    """Fit the line; None if the feet stand side by side, or the depth map has the higher ones nearer."""
    rows, standing = find_footing(alpha, box, Baseline(float(box.bottom), 0.0), ops)
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
    if variance < MIN_DEVIATION**2:
        return None
    per_level = float(np.average((level - mean_level) * (row - mean_row), weights=weight) / variance)
    if per_level <= 0:
        return None
    feet = row[weight > 0]
    return GroundByDepth(float(mean_row - per_level * mean_level), per_level, float(feet.min()), float(feet.max()))
