"""How far a back end may be from each primitive's exact value, in the array's own units.

Rounding takes 0.5; the rest is fixed-point weights, and for `resize_area` a second rounding.
"""

from __future__ import annotations

TOLERANCES: dict[str, float] = {
    "resize_area": 1.5,
    "resize_linear": 1.1,
    "warp": 1,
    "box": 1e-5,
    "gaussian": 1.5,
    "erode": 0,
    "dilate": 0,
    "local_linear": 1,
    "histogram": 0,
    "bounding_box": 0,
    "shrink": 1,
    "rgba": 0,
    "blend": 0,
    "composite_over": 0,
    "foreground_sweep": 1e-2,  # of 255, in float32
    "foreground_solve": 0.51,
    "lookup": 0,
    "to_lab": 2.7,  # linear light in 2040ths, which are coarse in the dark
    "from_lab": 2.7,
    "inpaint": 6,  # Telea's gradients look into the hole
    "distance": 1e-3,  # float32 of thousands
    "largest_component": 0,
    "fill_holes": 0,
}

# How far a device's result may be from the CPU's. Both follow OpenCV's fixed point, step by step; where floating point
# comes in, a value half-way between two levels may go either way on another CPU or GPU.
APART: dict[str, float] = {
    "resize_area": 1,
    "resize_linear": 0,
    "warp": 1,  # positions are float32, and a sum half-way between two levels may go either way
    "box": 1e-5,
    "gaussian": 0,
    "erode": 0,
    "dilate": 0,
    "local_linear": 1,  # OpenCV places its samples to a 32nd of a pixel, the kernel exactly
    "histogram": 0,
    "shrink": 1,
    "rgba": 0,
    "blend": 0,
    "composite_over": 0,
    "foreground_sweep": 1e-2,
    "foreground_solve": 1,
    "lookup": 0,
    "to_lab": 0,
    "from_lab": 0,
    "inpaint": 0,
    "distance": 1e-3,
    "largest_component": 0,
    "fill_holes": 0,
    "foreground": 1,
    "shadow": 3,  # two warps of 1 each, and an edge of the footing that is rounded to one of 256 heights
    "refine": 2,  # the fit's sums are taken in another order, and the slopes magnify it before `local_linear` rounds
    "fast_matting": 2,
}
