from __future__ import annotations

from functools import reduce

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.compositing.shadows.detection import REACH, SurfaceMap
from cutstream.images import Matte

MAX_DISTANCE = 20  # pixels from the edge that are read
MIN_PIXELS = 6  # at one distance, for their mean to count
MIN_CONTRAST = 0.05  # difference of light and dark, as a share of the light
SHARP_DEVIATION = 0.6  # standard deviation that a sharp edge has after reduction and along a jagged outline


def estimate_softness(surfaces: SurfaceMap, shadows: list[Matte], ops: ArrayOps) -> float | None:
    """Return the standard deviation of these shadows' edges (u8 HW masks) in pixels; None if no whole edge is seen.

    The mean brightness at each distance from the outline rises across the edge as a blurred step does: between 16 and
    84 of 100 of it lie two deviations.
    """
    free = ops.to_host(ops.dilate(surfaces.objects, REACH, 1)) == 0  # sync: 40 KB
    brightness, shaded = ops.to_host(surfaces.brightness), ops.to_host(surfaces.shadows)  # sync: 200 KB
    mask = reduce(ops.xp.maximum, shadows)
    inside, outside = (ops.to_host(ops.distance(each)) for each in (mask, 255 - mask))  # sync: 340 KB
    own = ops.to_host(mask) > 0  # sync: 40 KB
    distance = np.where(own, 0.5 - inside, outside - 0.5)
    visible = free & (own | (shaded == 0)) & (np.abs(distance) < MAX_DISTANCE)
    return _edge_deviation(distance[visible], brightness[visible])


def _edge_deviation(distance: Floats, brightness: Floats) -> float | None:
    bins = np.floor(distance).astype(int) + MAX_DISTANCE
    counts = np.bincount(bins, minlength=2 * MAX_DISTANCE)
    enough = counts >= MIN_PIXELS
    if enough[:MAX_DISTANCE].sum() < 2 or enough[MAX_DISTANCE:].sum() < 4:
        return None
    at = np.flatnonzero(enough)
    profile = (np.bincount(bins, brightness, minlength=len(counts)) / np.maximum(counts, 1))[at]
    dark, bright = profile[:2].mean(), profile[-MAX_DISTANCE // 2 :].mean()
    if bright - dark < MIN_CONTRAST * bright:
        return None
    rising = np.maximum.accumulate((profile - dark) / (bright - dark))
    low, high = np.interp([0.16, 0.84], rising, at)
    return float(np.sqrt(max((high - low) ** 2 / 4 - SHARP_DEVIATION**2, 0)))
