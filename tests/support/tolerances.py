"""Tolerances of the array back ends, in the units of each array."""

from __future__ import annotations

# How far a primitive's result may be from the exact value. Rounding takes 0.5. The rest comes from fixed-point weights,
# and for `resize_area` from a second rounding.
TOLERANCES: dict[str, float] = {
    "resize_area": 1.5,
    "resize_linear": 1.1,
    "warp": 1,
    "box": 1e-5,
    "gaussian": 1.5,
    "erode": 0,
    "dilate": 0,
    "fit_colours": 0.05,  # levels of 255; moments are float32, up to 65,025
    "local_linear": 0.51,
    "histogram": 0,
    "total": 0,
    "bounding_box": 0,
    "shrink": 1,
    "rgba": 0,
    "blend": 0,
    "composite_over": 0,
    "foreground_sweep": 1e-2,  # levels of 255, in float32
    "foreground_solve": 0.51,
    "lookup": 0,
    "to_lab": 2.7,  # linear light in steps of 1/2040, which are coarse in dark colours
    "from_lab": 2.7,
    "inpaint": 6,  # Telea's gradients reach into the hole
    "distance": 1e-3,  # float32 values of thousands
    "largest_component": 0,
    "fill_holes": 0,
}

# How far a device's result may be from the CPU's. Both follow OpenCV's fixed-point arithmetic step by step. In floating
# point, a value half-way between two levels may be rounded either way on another CPU or GPU.
APART: dict[str, float] = {
    "resize_area": 1,
    "resize_linear": 0,
    "warp": 1,  # positions are float32, and a sum half-way between two levels may be rounded either way
    "box": 1e-5,
    "gaussian": 0,
    "erode": 0,
    "dilate": 0,
    "fit_colours": 0.05,
    "local_linear": 1,  # a sum half-way between two levels may be rounded either way
    "histogram": 0,
    "total": 0,
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
    "shadow": 3,  # two warps of 1 each, and the edge where the subject stands, rounded to one of 256 heights
    "refine": 2,  # sums have another order, and the slopes of the fit magnify the difference before rounding
    "fast_matting": 2,
}
