from __future__ import annotations

import math

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte

# Standard deviation in pixels from which a blurred image can be interpolated: wider blurs are made at a reduced size,
# where they need a kernel of this width only.
WORKING_SIGMA = 5


def gaussian_blur(matte: Matte, sigma: float, ops: ArrayOps) -> Matte:
    """Blur u8 HW with this standard deviation in pixels, however wide; borders are as in `ArrayOps.gaussian`."""
    height, width = matte.shape
    step = max(1.0, sigma / WORKING_SIGMA)
    radius = round((sigma / step - 0.5) / 0.3)  # `gaussian` takes its sigma from the kernel
    if radius < 1:
        return matte
    small = ops.resize_area(matte, math.ceil(width / step), math.ceil(height / step))
    return ops.resize_linear(ops.gaussian(small, 2 * radius + 1), width, height)
