"""How soft the edges of shadows in a picture are."""

from __future__ import annotations

from functools import reduce

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.compositing.shadows.detection import REACH, Ground
from cutstream.images import Matte

FARTHEST = 20  # pixels from the edge that are looked at
FEWEST = 6  # pixels at a distance, for their mean to say something
FAINTEST = 0.05  # difference of light and dark
SHARPEST = 0.6  # deviation that a sharp edge has, after reduction and along a jagged outline


def softness_of(ground: Ground, shadows: list[Matte], ops: ArrayOps) -> float | None:
    """Standard deviation in pixels, of these shadows (u8 HW masks) together; None where no edge is seen whole.

    The mean brightness at each distance from the outline rises across the edge as the blurred step does: between 16 and
    84 of 100 of it lie two deviations.
    """
    free = ops.to_host(ops.dilate(ground.things, REACH, 1)) == 0  # sync: 40 KB
    light, shade = ops.to_host(ground.light), ops.to_host(ground.shade)  # sync: 200 KB
    mask = reduce(ops.xp.maximum, shadows)
    inside, outside = (ops.to_host(ops.distance(each)) for each in (mask, 255 - mask))  # sync: 340 KB
    own = ops.to_host(mask) > 0  # sync: 40 KB
    distance = np.where(own, 0.5 - inside, outside - 0.5)
    seen = free & (own | (shade == 0)) & (np.abs(distance) < FARTHEST)
    return _width(distance[seen], light[seen])


def _width(distance: Floats, light: Floats) -> float | None:
    bins = np.floor(distance).astype(int) + FARTHEST
    counts = np.bincount(bins, minlength=2 * FARTHEST)
    enough = counts >= FEWEST
    if enough[:FARTHEST].sum() < 2 or enough[FARTHEST:].sum() < 4:
        return None
    at = np.flatnonzero(enough)
    profile = (np.bincount(bins, light, minlength=len(counts)) / np.maximum(counts, 1))[at]
    dark, bright = profile[:2].mean(), profile[-FARTHEST // 2 :].mean()
    if bright - dark < FAINTEST * bright:
        return None
    rising = np.maximum.accumulate((profile - dark) / (bright - dark))
    low, high = np.interp([0.16, 0.84], rising, at)
    return float(np.sqrt(max((high - low) ** 2 / 4 - SHARPEST**2, 0)))
