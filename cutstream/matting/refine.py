"""From the photo to the network's input, and from the network's small matte to a full-size one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cutstream.arrays.ops import ArrayOps, Footprint
from cutstream.contract.options import RefineParameters
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.guided_filter import fit, levelled
from cutstream.matting.presets import check_work

# Of the long side: the least that makes the gradient error of every net's matte smaller (docs/evaluation.md, "Edges").
# Hard masks like less (0.005: MAE 0.0246 for cutnet in place of 0.0249), fur more (0.01: 4 % less gradient error).
RADIUS = 0.007
EPSILON = np.float32(1e-4)  # of colours in 0..1
BLACK_POINT, WHITE_POINT = 12, 243

NOMINAL_SIDE = 1000


def prepare(image: Image, width: int, height: int, ops: ArrayOps) -> Pixels:
    """The photo at the network's input size, without regard to its aspect: u8, height × width × 3, RGB."""
    return ops.resize_area(image.pixels, width, height)


def refine(matte: Matte, image: Image, how: RefineParameters, ops: ArrayOps) -> Matte:
    """A matte of any size (u8 HW, 0..255, covering the whole photo) at the photo's size.

    Raises `InvalidOption` where `how` would take too long on this photo (`check_work`).
    """
    rows, columns = matte.shape
    work = _Working.of(image, how)
    check_work(how, work.width * work.height / 1e6)
    matte = _cleaned(matte, how, work, ops)
    if how.edges == "soft":
        # Never finer than the photo, which has no edges for what a finer matte would say.
        matte = _soft(ops.resize_area(matte, min(columns, image.width), min(rows, image.height)), image, ops)
    else:
        matte = ops.resize_linear(matte, image.width, image.height)
    return _finished(matte, how, work, ops)


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


class _Working(NamedTuple):
    """Width and height that lengths are laid out on, and the factor that they are to be multiplied by there.

    A matte holds no more detail than a picture of the nominal size: larger ones are worked on at that size.
    """

    width: int
    height: int
    factor: float

    @classmethod
    def of(cls, image: Image, how: RefineParameters) -> _Working:
        if how.scale == "none":
            return cls(image.width, image.height, 1.0)
        long_side = max(image.width, image.height)
        shrink = min(1.0, NOMINAL_SIDE / long_side)
        width, height = (max(1, round(side * shrink)) for side in (image.width, image.height))
        return cls(width, height, min(1.0, long_side / NOMINAL_SIDE))


def _cleaned(matte: Matte, how: RefineParameters, work: _Working, ops: ArrayOps) -> Matte:
    """Dilation comes before the threshold, with which it commutes, so that the contour is cut at the full size."""
    if not (how.close or how.open or how.blur or how.dilate):
        return matte
    matte = ops.resize_linear(matte, work.width, work.height)
    footprint = ellipse(odd(how.kernel * work.factor))
    matte = ops.erode(ops.dilate(matte, footprint, how.close), footprint, how.close)
    matte = ops.dilate(ops.erode(matte, footprint, how.open), footprint, how.open)
    if how.blur:
        matte = ops.gaussian(matte, odd(how.blur * work.factor))
    return ops.dilate(matte, ellipse(odd((how.dilate_kernel or how.kernel) * work.factor)), how.dilate)


def _finished(matte: Matte, how: RefineParameters, work: _Working, ops: ArrayOps) -> Matte:
    """What is left of a part or of a hole below the black or above the white point is not seen."""
    height, width = matte.shape
    if how.threshold is not None:
        matte = (matte > how.threshold).view(np.uint8) * np.uint8(255)
    if how.keep_largest:
        matte = ops.largest_component(matte, BLACK_POINT)
    if how.fill_holes:
        matte = ops.fill_holes(matte, WHITE_POINT - 1)
    if how.feather:
        # A blurred edge needs no more pixels than its kernel is stated for: at 50 megapixels 99 px would take 25 s.
        small = ops.resize_area(matte, work.width, work.height)
        matte = ops.resize_linear(ops.gaussian(small, odd(how.feather * work.factor)), width, height)
    return matte


def odd(size: float) -> int:
    """The nearest odd number; of two equally near, the larger."""
    return 2 * int(size / 2) + 1


def ellipse(size: int) -> Footprint:
    """OpenCV's `MORPH_ELLIPSE`, size × size: in each row as many pixels as the disc is wide there."""
    radius = size // 2
    offsets = np.arange(-radius, radius + 1)
    half_widths = np.rint(np.sqrt(radius**2 - offsets**2))
    return (np.abs(offsets)[None, :] <= half_widths[:, None]).view(np.uint8)
