from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte, Pixels

GREEN = (0, 255, 0)
PHOTO_SHARE = 255 - np.arange(256, dtype=np.uint8) // 2  # by the alpha, 0..255


def overlay(pixels: Pixels, alpha: Matte, ops: ArrayOps) -> Pixels:
    """Mix the subject (alpha, u8 HW) of a photo (u8 HWC) half with pure green, to make its matte visible."""
    return ops.blend(pixels, ops.lookup(alpha, PHOTO_SHARE), GREEN)
