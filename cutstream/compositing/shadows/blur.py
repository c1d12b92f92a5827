from __future__ import annotations

import math

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte

# Standard deviation, in pixels, that a blurred picture needs to be interpolated from: a wider blur is made at a
# reduced size, where it takes a kernel of this width only.
ENOUGH = 5


def blurred(matte: Matte, sigma: float, ops: ArrayOps) -> Matte:
    """Gaussian of this standard deviation in pixels, u8 HW; the border as in `ArrayOps.gaussian`."""
    height, width = matte.shape
    step = max(1.0, sigma / ENOUGH)
    radius = round((sigma / step - 0.5) / 0.3)  # `gaussian` takes its sigma from the kernel
    if radius < 1:
        return matte
    small = ops.resize_area(matte, math.ceil(width / step), math.ceil(height / step))
    return ops.resize_linear(ops.gaussian(small, 2 * radius + 1), width, height)
