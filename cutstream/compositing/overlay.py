from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte, Pixels

GREEN = (0, 255, 0)
KEPT = 255 - np.arange(256, dtype=np.uint8) // 2  # of the photo, under each alpha


def overlay(pixels: Pixels, alpha: Matte, ops: ArrayOps) -> Pixels:
    """The photo (u8 HWC) with its subject mixed half with pure green, by its alpha (u8 HW): to look at a matte."""
    return ops.blend(pixels, ops.lookup(alpha, KEPT), GREEN)
