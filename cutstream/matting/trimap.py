"""Where a matte is sure, and where alpha is to be found anew."""

from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps, Table
from cutstream.images import Matte

BACKGROUND, UNKNOWN, SUBJECT = 0, 128, 255
SURE_BACKGROUND, SURE_SUBJECT = 9, 241  # alpha up to, and from: as the field's own tools take it

NOMINAL_SIDE = 1000

UNMIXED: Table = np.full(256, UNKNOWN, np.uint8)
UNMIXED[[BACKGROUND, SUBJECT]] = BACKGROUND, SUBJECT


def trimap(alpha: Matte, erode: int, dilate: int, ops: ArrayOps) -> Matte:
    """u8 HW to u8 HW: 255 is subject, 0 background, 128 unknown, a band around the edge and all that is soft.

    Subject is what lies deeper than `erode` in the values from 241, background what lies farther than `dilate` from
    those above 9: exact discs, in pixels of a picture whose long side is 1000. Larger pictures are worked on at that
    size, where what is thinner than a pixel is unknown. The picture's frame is no edge. What erodes away wholly
    leaves no 255, and a band that reaches everywhere no 0: the caller looks whether anything sure is left.
    """
    height, width = alpha.shape
    shrink = min(1.0, NOMINAL_SIDE / max(height, width))
    small = ops.resize_area(alpha, max(1, round(width * shrink)), max(1, round(height * shrink)))
    pixels = min(1.0, max(height, width) / NOMINAL_SIDE)
    subject = ops.distance((small >= SURE_SUBJECT).view(ops.xp.uint8)) > erode * pixels
    background = ops.distance((small <= SURE_BACKGROUND).view(ops.xp.uint8)) > dilate * pixels
    either = ops.xp.where(background, ops.xp.uint8(BACKGROUND), ops.xp.uint8(UNKNOWN))
    made = ops.xp.where(subject, ops.xp.uint8(SUBJECT), either)
    return split(ops.resize_linear(made, width, height), ops)


def split(mixed: Matte, ops: ArrayOps) -> Matte:
    """Of a trimap whose size was changed: what is mixed is unknown."""
    return ops.lookup(mixed, UNMIXED)
