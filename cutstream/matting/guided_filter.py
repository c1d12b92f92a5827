"""Fit alpha to the photo's colours: the fast guided filter with a colour guide (He and Sun 2013 and 2015).

Around each point of the matte's grid, alpha is fitted as a linear function of colour. The coefficients are smooth, so
they are found at the matte's size and applied to the photo at its full size: edges of a small matte follow the photo.
A guide of luma alone costs a third less, and loses edges between colours of equal brightness.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.images import Matte, Pixels

Whole: TypeAlias = NDArray[np.uint16]


def fit_guided(guide: Pixels, matte: Matte, kernel: tuple[int, int], epsilon: np.float32, ops: ArrayOps) -> Floats:
    """Fit `matte` (u8 h × w) to `guide` (u8 h × w × 3).

    Returns f32 h × w × 4: slopes for red, green, blue, and intercept in 0..255. `kernel` is the window's width and
    height in pixels, `epsilon` the variance (of colours in 0..1) below which an edge counts as noise.
    """
    return ops.fit_colours(guide, matte, *kernel, epsilon * np.float32(255**2))


def fit_weighted(
    guide: Pixels, matte: Matte, weight: Floats, kernel: tuple[int, int], epsilon: np.float32, ops: ArrayOps
) -> Floats:
    """Fit as `fit_guided` does, with a weight for each pixel: f32 h × w, above 0.

    A window's line is fitted to the weighted pixels, and counts for the pixels around it by the sum of their weights.
    Colours and alpha stay whole numbers, in 0..255, whose products are exact in 16 bits.
    """
    evidence = ops.box(weight, *kernel)
    total = ops.box(evidence, *kernel)

    def mean(plane: Whole) -> Floats:
        return ops.box(plane * weight, *kernel) / evidence

    def covariance(one: Whole, other: Whole, mean_one: Floats, mean_other: Floats) -> Floats:
        product = mean(one * other)
        product -= mean_one * mean_other
        return product

    def over_windows(plane: Floats) -> Floats:
        return ops.box(plane * evidence, *kernel) / total

    red, green, blue, alpha = (
        plane.astype(ops.xp.uint16) for plane in (guide[..., 0], guide[..., 1], guide[..., 2], matte)
    )
    mean_red, mean_green, mean_blue, mean_alpha = mean(red), mean(green), mean(blue), mean(alpha)
    noise = epsilon * np.float32(255**2)
    slopes = _solve(
        covariance(red, red, mean_red, mean_red) + noise,
        covariance(red, green, mean_red, mean_green),
        covariance(red, blue, mean_red, mean_blue),
        covariance(green, green, mean_green, mean_green) + noise,
        covariance(green, blue, mean_green, mean_blue),
        covariance(blue, blue, mean_blue, mean_blue) + noise,
        (
            covariance(red, alpha, mean_red, mean_alpha),
            covariance(green, alpha, mean_green, mean_alpha),
            covariance(blue, alpha, mean_blue, mean_alpha),
        ),
    )
    intercept = mean_alpha
    for slope, mean_colour in zip(slopes, (mean_red, mean_green, mean_blue), strict=True):
        intercept -= slope * mean_colour
    return ops.xp.stack([*map(over_windows, slopes), over_windows(intercept)], axis=-1)  # type: ignore[no-any-return]


def stretch_levels(coefficients: Floats, black: int, white: int) -> Floats:
    """Rescale in place so that `black` maps to 0 and `white` to 255: this cuts off faint remains on either side."""
    gain = 255 / (white - black)
    coefficients *= np.float32(gain)
    coefficients[..., 3] -= np.float32(black * gain)
    return coefficients


def _solve(
    rr: Floats, rg: Floats, rb: Floats, gg: Floats, gb: Floats, bb: Floats, right: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """Solve the symmetric 3 × 3 system at every pixel, in place. The arguments are overwritten.

    By elimination: in float32, cofactors cancel on grey photos.
    """
    red, green, blue = right
    share = rg / rr
    gg -= share * rg
    gb -= share * rb
    green -= share * red
    share = rb / rr
    bb -= share * rb
    blue -= share * red
    share = gb / gg
    bb -= share * gb
    blue -= share * green
    blue /= bb
    green -= gb * blue
    green /= gg
    red -= rg * green
    red -= rb * blue
    red /= rr
    return red, green, blue
