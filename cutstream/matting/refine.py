"""Prepare the photo for the network, and refine the network's small matte into one of the photo's size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cutstream.arrays.ops import ArrayOps, Footprint
from cutstream.images import Image, Matte, Pixels
from cutstream.images.geometry import NOMINAL_LONG_SIDE, odd, reduced_size, window_side
from cutstream.matting.guided_filter import fit_guided, stretch_levels
from cutstream.matting.islands import fade_islands
from cutstream.matting.presets import check_work
from cutstream.matting.specs import Refinement

# In long sides: the least that reduces the gradient error of every network's matte (docs/evaluation.md, "Edges"). Hard
# masks prefer less (0.005: MAE 0.0246 for cutnet instead of 0.0249), fur more (0.01: 4 % less gradient error).
RADIUS = 0.007
EPSILON = np.float32(1e-4)  # variance of colours in 0..1
BLACK_POINT, WHITE_POINT = 12, 243
HALVED_FROM = 3  # times the network's input size: what is halved then still has half as many pixels again on each side


def prepare(image: Image, width: int, height: int, ops: ArrayOps) -> Pixels:
    """Scale the photo to the network's input size, regardless of its aspect ratio: u8, height × width × 3, RGB.

    While it is at least three times as large, it is halved: means of 2 × 2 pixels take a tenth of the time of others,
    and cost no quality (docs/evaluation.md, "Sizes"). An odd last row or column is left out then.
    """
    pixels = image.pixels
    while pixels.shape[0] >= HALVED_FROM * height and pixels.shape[1] >= HALVED_FROM * width:
        rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
        pixels = ops.resize_area(pixels[: 2 * rows, : 2 * columns], columns, rows)
    return ops.resize_area(pixels, width, height)


def refine(matte: Matte, image: Image, refinement: Refinement, ops: ArrayOps) -> Matte:
    """Refine a matte of any size (u8 HW, covering the whole photo), and return it at the photo's size.

    Raises `InvalidOption` if the refinement would take too long on this photo (`check_work`).
    """
    rows, columns = matte.shape
    work = WorkingSize.of(image, refinement)
    check_work(refinement, work.width * work.height / 1e6)
    if refinement.fade_islands:
        matte = fade_islands(matte, ops)
    matte = _clean(matte, refinement, work, ops)
    if refinement.edges == "soft":
        # Never finer than the photo, which has no edges for such detail.
        matte = _follow_edges(ops.resize_area(matte, min(columns, image.width), min(rows, image.height)), image, ops)
    else:
        matte = ops.resize_linear(matte, image.width, image.height)
    return _finish(matte, refinement, work, ops)


class WorkingSize(NamedTuple):
    """The size that kernels are applied at, and the factor from the kernels' stated sizes to their sizes there.

    A matte holds no more detail than an image whose long side is 1000, so larger photos are worked on at that size.
    """

    width: int
    height: int
    factor: float

    @classmethod
    def of(cls, image: Image, refinement: Refinement) -> WorkingSize:
        if refinement.scale == "none":
            return cls(image.width, image.height, 1.0)
        factor = min(1.0, max(image.width, image.height) / NOMINAL_LONG_SIDE)
        return cls(*reduced_size(image.width, image.height, NOMINAL_LONG_SIDE), factor)


def _follow_edges(matte: Matte, image: Image, ops: ArrayOps) -> Matte:
    """Enlarge a matte so that its edges follow the photo's; alpha stays soft, and its faint remains are cut off."""
    rows, columns = matte.shape
    # Sampled, not averaged: the statistics must be those of the full-size pixels that the coefficients will meet.
    guide = ops.resize_linear(image.pixels, columns, rows)
    radius = RADIUS * max(image.width, image.height)
    kernel = (
        window_side(radius * columns / image.width, columns),
        window_side(radius * rows / image.height, rows),
    )
    coefficients = stretch_levels(fit_guided(guide, matte, kernel, EPSILON, ops), BLACK_POINT, WHITE_POINT)
    return ops.local_linear(coefficients, image.pixels)


def _clean(matte: Matte, refinement: Refinement, work: WorkingSize, ops: ArrayOps) -> Matte:
    """Close, open, blur and dilate.

    Dilation comes before the threshold, with which it commutes, so that the contour is cut at the full size.
    """
    if not (refinement.close or refinement.open or refinement.blur or refinement.dilate):
        return matte
    matte = ops.resize_linear(matte, work.width, work.height)
    footprint = ellipse(odd(refinement.kernel * work.factor))
    matte = ops.erode(ops.dilate(matte, footprint, refinement.close), footprint, refinement.close)
    matte = ops.dilate(ops.erode(matte, footprint, refinement.open), footprint, refinement.open)
    if refinement.blur:
        matte = ops.gaussian(matte, odd(refinement.blur * work.factor))
    dilate_kernel = refinement.dilate_kernel or refinement.kernel
    return ops.dilate(matte, ellipse(odd(dilate_kernel * work.factor)), refinement.dilate)


def _finish(matte: Matte, refinement: Refinement, work: WorkingSize, ops: ArrayOps) -> Matte:
    """Apply the steps at the photo's size.

    Parts below the black point and holes above the white point do not count: they are not visible.
    """
    height, width = matte.shape
    if refinement.threshold is not None:
        matte = (matte > refinement.threshold).view(np.uint8) * np.uint8(255)
    if refinement.keep_largest:
        matte = ops.largest_component(matte, BLACK_POINT)
    if refinement.fill_holes:
        matte = ops.fill_holes(matte, WHITE_POINT - 1)
    if refinement.feather:
        # A blurred edge needs no more pixels than its kernel is stated for: at 50 megapixels 99 px would take 25 s.
        small = ops.resize_area(matte, work.width, work.height)
        blurred = ops.gaussian(small, odd(refinement.feather * work.factor))
        matte = ops.resize_linear(blurred, width, height)
    return matte


def ellipse(size: int) -> Footprint:
    """Return OpenCV's `MORPH_ELLIPSE`, size × size: each row has as many pixels as the disc is wide there."""
    radius = size // 2
    offsets = np.arange(-radius, radius + 1)
    half_widths = np.rint(np.sqrt(radius**2 - offsets**2))
    return (np.abs(offsets)[None, :] <= half_widths[:, None]).view(np.uint8)
