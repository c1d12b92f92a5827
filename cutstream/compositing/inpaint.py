from __future__ import annotations

from cutstream.arrays.ops import ArrayOps, Inpainting
from cutstream.images import Matte, Pixels
from cutstream.images.geometry import reduced_size
from cutstream.matting.refine import ellipse

# The long side worked on, and the radius of inpainting there. In holes of 12 % in real photos of 1000 px, whose content
# was known, 250 with 5 had 16.0 dB in 17 ms, 500 with 5 15.7 dB in 66 ms and the full size with 3 15.2 dB in 112 ms.
# In a smaller image less of the fill is streaks of single pixels, and fewer of them meet in hard seams in the hole.
WORKING_SIDE, RADIUS = 250, 5.0
FAINT = 12  # alpha up to which a pixel stays
# Added to the hole at that size: the rim mixes subject and surroundings, and the fill must not begin from it.
MARGIN = ellipse(7)


def remove_subject(pixels: Pixels, alpha: Matte, method: Inpainting, ops: ArrayOps) -> Pixels:
    """Fill the photo (u8 HWC) from around its subject (alpha, u8 HW); pixels away from it stay exactly as they are.

    A subject that leaves nothing around it stays, blurred. The host waits for the device: see `ArrayOps.inpaint`.
    """
    height, width = alpha.shape
    size = reduced_size(width, height, WORKING_SIDE)
    hole = ops.dilate(_solid(ops.resize_area(alpha, *size), ops), MARGIN, 1)
    filled = ops.inpaint(ops.resize_area(pixels, *size), hole, RADIUS, method)
    # Enlarging makes the hole's edge a ramp between the small size's pixels, so the seam is gradual too.
    return ops.composite_over(ops.resize_linear(filled, width, height), ops.resize_linear(hole, width, height), pixels)


def _solid(alpha: Matte, ops: ArrayOps) -> Matte:
    return (alpha > FAINT).view(ops.xp.uint8) * ops.xp.uint8(255)  # type: ignore[no-any-return]
