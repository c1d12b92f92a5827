"""From the photo to the network's input, and from the network's small matte to a full-size one."""

from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps, Footprint
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.guided import fit, levelled
from cutstream.matting.presets import SOFT, check_work, parameters
from cutstream.options import RefineParameters

RADIUS = 0.005  # of the long side
EPSILON = np.float32(1e-4)  # of colours in 0..1
BLACK_POINT, WHITE_POINT = 12, 243

NOMINAL_SIDE = 1000


def prepare(image: Image, width: int, height: int, ops: ArrayOps) -> Pixels:
    """The photo at the network's input size, without regard to its aspect: u8, height × width × 3, RGB."""
    return ops.resize_area(image.pixels, width, height)


def refine(matte: Matte, image: Image, how: str | RefineParameters, ops: ArrayOps) -> Matte:
    """A matte of any size (u8 HW, 0..255, covering the whole photo) at the photo's size."""
    if how == SOFT:
        return _soft(matte, image, ops)
    return _morphology(matte, image, parameters(how), ops)


def _soft(matte: Matte, image: Image, ops: ArrayOps) -> Matte:
    """Alpha stays soft; its edges follow the photo's, and the faint rest of either side is cut off."""
    rows, columns = matte.shape
    # Sampled, not averaged: the statistics must be those of the full-size pixels that the coefficients will meet.
    guide = ops.resize_linear(image.pixels, columns, rows)
    radius = RADIUS * max(image.width, image.height)
    kernel = _window(radius * columns / image.width, columns), _window(radius * rows / image.height, rows)
    coefficients = levelled(fit(guide, matte, kernel, EPSILON, ops), BLACK_POINT, WHITE_POINT)
    return ops.local_linear(coefficients, image.pixels)


def _window(radius: float, side: int) -> int:
    """At least 3, so that there is something to fit, and never wider than the matte."""
    return 2 * min(max(1, round(radius)), side // 2) + 1


def _morphology(matte: Matte, image: Image, how: RefineParameters, ops: ArrayOps) -> Matte:
    """The matte holds no more detail than a picture of the nominal size: larger ones are worked on at that size.

    Dilation comes before the threshold, with which it commutes, so that the contour is cut at the full size.
    """
    width, height, factor = _working_size(image, how)
    check_work(how, width * height / 1e6)
    matte = ops.resize_linear(matte, width, height)
    footprint = ellipse(odd(how.kernel * factor))
    matte = ops.erode(ops.dilate(matte, footprint, how.close), footprint, how.close)
    matte = ops.dilate(ops.erode(matte, footprint, how.open), footprint, how.open)
    if how.blur:
        matte = ops.gaussian(matte, odd(how.blur * factor))
    matte = ops.dilate(matte, ellipse(odd(how.dilate_kernel * factor)), how.dilate)
    matte = ops.resize_linear(matte, image.width, image.height)
    return matte if how.threshold is None else (matte > how.threshold).view(np.uint8) * np.uint8(255)


def _working_size(image: Image, how: RefineParameters) -> tuple[int, int, float]:
    """Width, height, and the factor that kernel sizes are to be multiplied by."""
    if how.scale == "none":
        return image.width, image.height, 1.0
    long_side = max(image.width, image.height)
    shrink = min(1.0, NOMINAL_SIDE / long_side)
    width, height = (max(1, round(side * shrink)) for side in (image.width, image.height))
    return width, height, min(1.0, long_side / NOMINAL_SIDE)


def odd(size: float) -> int:
    """The nearest odd number; of two equally near, the larger."""
    return 2 * int(size / 2) + 1


def ellipse(size: int) -> Footprint:
    """OpenCV's `MORPH_ELLIPSE`, size × size: in each row as many pixels as the disc is wide there."""
    radius = size // 2
    offsets = np.arange(-radius, radius + 1)
    half_widths = np.rint(np.sqrt(radius**2 - offsets**2))
    return (np.abs(offsets)[None, :] <= half_widths[:, None]).view(np.uint8)
