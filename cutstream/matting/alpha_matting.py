"""Alpha anew in a band around the matte's edge, for hair and fur."""

from __future__ import annotations

import numpy as np

from cutstream.arrays.ops import ArrayOps
from cutstream.contract.options import Matting, MattingMethod
from cutstream.images import Image, Matte
from cutstream.matting.exact_matting import exact
from cutstream.matting.guided_filter import fit, fit_weighted, levelled
from cutstream.matting.refine import BLACK_POINT, WHITE_POINT
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, split, trimap

# Of the long side. A reach of 0.03 is a tenth better on fur and worse on photos without (docs/evaluation.md,
# "Mattings"): where the colours vary, what lies that far off says little.
REACH = 0.02  # how far what is sure speaks for what is not
SMOOTH = 0.008

SIDE = 320  # of the grid that the colours' lines are found on: 500 px are no better and take twice the time
DOUBT = np.float32(0.05)  # weight of an unknown pixel's own alpha
EPSILON = np.float32(1e-4)  # of colours in 0..1


def wanted_matting(asked: MattingMethod | Matting | None) -> Matting | None:
    return Matting(method=asked) if isinstance(asked, str) else asked


def matting(alpha: Matte, image: Image, how: Matting, ops: ArrayOps) -> Matte:
    """Alpha (u8 HW, the photo's size) anew where its trimap is unknown; elsewhere 0 and 255 as the trimap says.

    A matte without any sure subject or any sure background comes back as it is: there is nothing to tell the two
    apart by. Raises `InvalidOption` for a method whose package is missing.
    """
    return solve(trimap(alpha, how.erode, how.dilate, ops), alpha, image, how.method, ops)


def solve(given: Matte, alpha: Matte, image: Image, method: MattingMethod, ops: ArrayOps) -> Matte:
    """As `matting`, in a trimap that is `given`: u8 HW, 0, 128 and 255."""
    counts = ops.histogram(given)  # sync: whether there is anything to find, and to find it by
    if not counts[SUBJECT] or not counts[BACKGROUND]:
        return alpha
    if not counts[UNKNOWN]:
        return given
    found = fast(given, alpha, image, ops) if method == "fast" else exact(given, alpha, image, method, ops)
    return ops.xp.where(given == UNKNOWN, found, given)  # type: ignore[no-any-return]


def fast(given: Matte, alpha: Matte, image: Image, ops: ArrayOps) -> Matte:
    """u8 HW: alpha as a locally linear function of colour, which the sure pixels around decide.

    The guided filter's fit (He and Sun 2013) by weighted pixels; `alpha` has its say where nothing sure is near. A
    second fit, to what came of the first, evens out what the windows disagree about.
    """
    shrink = min(1.0, SIDE / max(image.width, image.height))
    size = max(1, round(image.width * shrink)), max(1, round(image.height * shrink))
    guide = ops.resize_linear(image.pixels, *size)
    known = split(ops.resize_linear(given, *size), ops)
    unknown = known == UNKNOWN
    weight = ops.xp.where(unknown, DOUBT, np.float32(1)).astype(ops.xp.float32)
    start = ops.xp.where(unknown, ops.resize_linear(alpha, *size), known)
    coefficients = fit_weighted(guide, start, weight, _window(REACH, size), EPSILON, ops)
    better = ops.xp.where(unknown, ops.local_linear(coefficients, guide), known)
    coefficients = levelled(fit(guide, better, _window(SMOOTH, size), EPSILON, ops), BLACK_POINT, WHITE_POINT)
    return ops.local_linear(coefficients, image.pixels)


def _window(radius: float, size: tuple[int, int]) -> tuple[int, int]:
    """Never wider than the picture, where `box` could not mirror it."""
    width, height = (2 * min(max(1, round(radius * max(size))), side // 2) + 1 for side in size)
    return width, height
