"""Estimate alpha anew in a band around the matte's edge, for hair and fur."""

from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Image, Matte
from cutstream.images.geometry import reduced_size, window_side
from cutstream.matting.exact_matting import solve_exact
from cutstream.matting.guided_filter import fit_guided, fit_weighted, stretch_levels
from cutstream.matting.refine import BLACK_POINT, WHITE_POINT
from cutstream.matting.specs import MattingMethod, MattingSpec
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, build_trimap, mark_mixed_unknown

# In long sides. A reach of 0.03 is a tenth better on fur and worse on photos without (docs/evaluation.md, "Mattings"):
# if colours vary, distant pixels say little.
REACH = 0.02  # distance over which known pixels decide about unknown ones
SMOOTHING = 0.008  # radius of the second fit

GUIDE_SIDE = 320  # long side of the grid of the colour fits: 500 px are no better and take twice the time
UNKNOWN_WEIGHT = np.float32(0.05)  # of an unknown pixel's own alpha
EPSILON = np.float32(1e-4)  # variance of colours in 0..1


def estimate_alpha(alpha: Matte, image: Image, spec: MattingSpec, ops: ArrayOps) -> Matte:
    """Estimate alpha (u8 HW, the photo's size) where its trimap is unknown; elsewhere set the trimap's 0 or 255.

    A matte without any sure subject or any sure background comes back unchanged: nothing tells the two apart. Raises
    `InvalidOption` for a method whose package is missing.
    """
    return solve_trimap(build_trimap(alpha, spec.erode, spec.dilate, ops), alpha, image, spec.method, ops)


def solve_trimap(trimap: Matte, alpha: Matte, image: Image, method: MattingMethod, ops: ArrayOps) -> Matte:
    """Estimate alpha as `estimate_alpha` does, in a trimap of your own: u8 HW of 0, 128 and 255."""
    counts = ops.histogram(trimap)  # sync: whether there is anything to solve, and anything to solve it by
    if not counts[SUBJECT] or not counts[BACKGROUND]:
        return alpha
    if not counts[UNKNOWN]:
        return trimap
    if method == "fast":
        solved = solve_fast(trimap, alpha, image, ops)
    else:
        solved = solve_exact(trimap, alpha, image, method, ops)
    return ops.xp.where(trimap == UNKNOWN, solved, trimap)  # type: ignore[no-any-return]


def solve_fast(trimap: Matte, alpha: Matte, image: Image, ops: ArrayOps) -> Matte:
    """Return alpha (u8 HW) as a locally linear function of colour, decided by the known pixels around.

    This is the guided filter's fit (He and Sun 2013) with weighted pixels; `alpha` counts where no known pixel is near.
    A second fit, to the result of the first, evens out where the windows disagree.
    """
    size = reduced_size(image.width, image.height, GUIDE_SIDE)
    guide = ops.resize_linear(image.pixels, *size)
    known = mark_mixed_unknown(ops.resize_linear(trimap, *size), ops)
    unknown = known == UNKNOWN
    weight = ops.xp.where(unknown, UNKNOWN_WEIGHT, np.float32(1)).astype(ops.xp.float32)
    start = ops.xp.where(unknown, ops.resize_linear(alpha, *size), known)
    coefficients = fit_weighted(guide, start, weight, _window(REACH, size), EPSILON, ops)
    first = ops.xp.where(unknown, ops.local_linear(coefficients, guide), known)
    coefficients = fit_guided(guide, first, _window(SMOOTHING, size), EPSILON, ops)
    return ops.local_linear(stretch_levels(coefficients, BLACK_POINT, WHITE_POINT), image.pixels)


def _window(radius: float, size: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of a window; `radius` is in long sides."""
    width, height = (window_side(radius * max(size), side) for side in size)
    return width, height
