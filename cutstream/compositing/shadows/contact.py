"""Render the darkness where a subject stands: hardly any light gets between it and the ground.

The very lowest row is not enough: feet stand at their own heights, and the outline of a cup's base is curved. A column
of the image stands on the ground if its lowest point is about the lowest of its neighbourhood and near the ground.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.images import Matte
from cutstream.images.geometry import Box

SOLID = 127  # alpha above which a pixel counts as subject

# In heights of the subject.
NEIGHBOURHOOD = 0.05  # columns compared to either side
ROUNDING = 0.03  # height above its neighbourhood's lowest point at which a column still stands half
# Height above the lowest row: up to the first, a point may be a foot farther away; from the second on it is none.
ON_GROUND, IN_THE_AIR = 0.1, 0.22
SPREAD = 0.045  # standard deviation of the darkness along the ground

FLATNESS = 0.4  # the ground is seen at a slant: height of the darkness by its width
CORE = 0.25  # height of the dark middle by that of the whole
WIDE_STRENGTH, CORE_STRENGTH = 0.6, 0.9  # more than 1 together, since spreading takes some of it from narrow feet
LIFT = 0.5  # in standard deviations: how far the darkness is moved down, to show a little below the edge


class Baseline(NamedTuple):
    """The line on which a subject stands: its row at column 0, and the rows that it falls per column."""

    row: float
    slope: float

    def at(self, column: float) -> float:
        return self.row + self.slope * column


def contact_shadow(alpha: Matte, box: Box, baseline: Baseline, softness: float | None, ops: ArrayOps) -> Floats:
    """Return the darkness, f32 HW in 0..1; `softness` is the standard deviation along the ground, in pixels."""
    sigma = max(SPREAD * box.height if softness is None else softness, 0.5)
    rows, standing = find_footing(alpha, box, baseline, ops)
    below = ops.xp.arange(alpha.shape[0], dtype=np.float32)[:, None] - rows - np.float32(LIFT * FLATNESS * sigma)
    wide = _bell(below, FLATNESS * sigma, ops)
    core = _bell(below, FLATNESS * sigma * CORE, ops)
    darkness = (wide * np.float32(WIDE_STRENGTH) + core * np.float32(CORE_STRENGTH)) * standing
    return ops.xp.minimum(_spread_along_rows(darkness, sigma, ops), 1)  # type: ignore[no-any-return]


def find_footing(alpha: Matte, box: Box, baseline: Baseline, ops: ArrayOps) -> tuple[Floats, Floats]:
    """Return for each column the row below its lowest subject pixel, and how much it stands there (0..1), both f32."""
    xp = ops.xp
    numbers = xp.arange(1, alpha.shape[0] + 1, dtype=np.float32)[:, None]
    rows = xp.max((alpha > SOLID) * numbers, axis=0)
    reach = IN_THE_AIR * box.height
    ground = xp.arange(alpha.shape[1], dtype=np.float32) * np.float32(baseline.slope) + np.float32(baseline.at(0.5))
    closeness = xp.clip(1 - (ground - rows) * np.float32(1 / reach), 0, 1) * (rows > 0)
    levels = (closeness * np.float32(255)).astype(xp.uint8)[None]
    neighbours = 2 * max(1, round(NEIGHBOURHOOD * box.height)) + 1
    lowest = ops.dilate(levels, np.ones((1, neighbours), np.uint8), 1)[0] * np.float32(1 / 255)
    above = (lowest - closeness) * np.float32(reach)
    near = xp.clip(closeness * np.float32(IN_THE_AIR / (IN_THE_AIR - ON_GROUND)), 0, 1)
    return rows, near * _bell(above, ROUNDING * box.height, ops)


def _bell(distance: Floats, sigma: float, ops: ArrayOps) -> Floats:
    scaled = distance * np.float32(1 / sigma)
    return ops.xp.exp(scaled * scaled * np.float32(-0.5))  # type: ignore[no-any-return]


def _spread_along_rows(plane: Floats, sigma: float, ops: ArrayOps) -> Floats:
    """Blur along the rows, about as a Gaussian: three means of equal width have its deviation."""
    width = 2 * math.floor(sigma) + 1
    for _ in range(3):
        plane = ops.box(plane, width, 1)
    return plane
