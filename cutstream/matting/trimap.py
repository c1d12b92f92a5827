"""Divide a matte into sure subject, sure background, and the unknown band where alpha is estimated."""

from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps, Table
from cutstream.images import Matte
from cutstream.images.geometry import NOMINAL_LONG_SIDE, reduced_size

BACKGROUND, UNKNOWN, SUBJECT = 0, 128, 255
# The highest alpha of sure background and the lowest of sure subject, as the field's own tools have them.
SURE_BACKGROUND, SURE_SUBJECT = 9, 241

_MIXED_TO_UNKNOWN: Table = np.full(256, UNKNOWN, np.uint8)
_MIXED_TO_UNKNOWN[[BACKGROUND, SUBJECT]] = BACKGROUND, SUBJECT


def build_trimap(alpha: Matte, erode: int, dilate: int, ops: ArrayOps) -> Matte:
    """Return a trimap of u8 HW: 255 is subject, 0 background, and 128 unknown, around edges and where alpha is soft.

    Subject lies deeper than `erode` in the values from 241, background farther than `dilate` from those above 9: exact
    discs, in pixels of an image whose long side is 1000. Larger images are worked on at that size, where parts thinner
    than a pixel are unknown. The image's frame is no edge. A subject that erodes away leaves no 255, and a band that
    reaches everywhere no 0: callers check whether anything sure is left.
    """
    height, width = alpha.shape
    small = ops.resize_area(alpha, *reduced_size(width, height, NOMINAL_LONG_SIDE))
    factor = min(1.0, max(height, width) / NOMINAL_LONG_SIDE)
    subject = ops.distance((small >= SURE_SUBJECT).view(ops.xp.uint8)) > erode * factor
    background = ops.distance((small <= SURE_BACKGROUND).view(ops.xp.uint8)) > dilate * factor
    trimap = ops.xp.where(background, ops.xp.uint8(BACKGROUND), ops.xp.uint8(UNKNOWN))
    trimap = ops.xp.where(subject, ops.xp.uint8(SUBJECT), trimap)
    return mark_mixed_unknown(ops.resize_linear(trimap, width, height), ops)


def mark_mixed_unknown(resized: Matte, ops: ArrayOps) -> Matte:
    """Set all values of a resized trimap to unknown that interpolation mixed."""
    return ops.lookup(resized, _MIXED_TO_UNKNOWN)
