"""Fit alpha to the photo's colours: the fast guided filter with a colour guide (He and Sun 2013 and 2015).

Around each point of the matte's grid, alpha is fitted as a linear function of colour. The coefficients are smooth, so
they are found at the matte's size and applied to the photo at its full size: edges of a small matte follow the photo.
A guide of luma alone costs a third less, and loses edges between colours of equal brightness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.images import Matte, Pixels

Mean: TypeAlias = Callable[[Floats], Floats]


def fit_guided(guide: Pixels, matte: Matte, kernel: tuple[int, int], epsilon: np.float32, ops: ArrayOps) -> Floats:
    """Fit `matte` (u8 h × w) to `guide` (u8 h × w × 3).

    Returns f32 h × w × 4: slopes for red, green, blue, and intercept in 0..255. `kernel` is the window's width and
    height in pixels, `epsilon` the variance (of colours in 0..1) below which an edge counts as noise.
    """

    def mean(plane: Floats) -> Floats:
        return ops.box(plane, *kernel)

    return _fit(guide, matte, epsilon, mean, mean, ops)


def fit_weighted(
    guide: Pixels, matte: Matte, weight: Floats, kernel: tuple[int, int], epsilon: np.float32, ops: ArrayOps
) -> Floats:
    """Fit as `fit_guided` does, with a weight for each pixel: f32 h × w, above 0.

    A window's line is fitted to the weighted pixels, and counts for the pixels around it by the sum of their weights.
    """
    evidence = ops.box(weight, *kernel)
    total = ops.box(evidence, *kernel)

    def within_window(plane: Floats) -> Floats:
        return ops.box(plane * weight, *kernel) / evidence

    def over_windows(plane: Floats) -> Floats:
        return ops.box(plane * evidence, *kernel) / total

    return _fit(guide, matte, epsilon, within_window, over_windows, ops)


def stretch_levels(coefficients: Floats, black: int, white: int) -> Floats:
    """Rescale so that `black` maps to 0 and `white` to 255: this cuts off faint remains on either side."""
    gain = 255 / (white - black)
    stretched = coefficients * np.float32(gain)
    stretched[..., 3] -= np.float32(black * gain)
    return stretched


def _fit(
    guide: Pixels, matte: Matte, epsilon: np.float32, within_window: Mean, over_windows: Mean, ops: ArrayOps
) -> Floats:
    """Fit with two means: over a window's pixels, and over the windows that a pixel lies in."""
    mean = within_window
    red, green, blue, alpha = (
        ops.xp.multiply(plane, 1 / 255, dtype=ops.xp.float32)
        for plane in (guide[..., 0], guide[..., 1], guide[..., 2], matte)
    )
    mean_red, mean_green, mean_blue, mean_alpha = mean(red), mean(green), mean(blue), mean(alpha)
    slopes = _solve(
        mean(red * red) - mean_red * mean_red + epsilon,
        mean(red * green) - mean_red * mean_green,
        mean(red * blue) - mean_red * mean_blue,
        mean(green * green) - mean_green * mean_green + epsilon,
        mean(green * blue) - mean_green * mean_blue,
        mean(blue * blue) - mean_blue * mean_blue + epsilon,
        (
            mean(red * alpha) - mean_red * mean_alpha,
            mean(green * alpha) - mean_green * mean_alpha,
            mean(blue * alpha) - mean_blue * mean_alpha,
        ),
    )
    intercept = mean_alpha - slopes[0] * mean_red - slopes[1] * mean_green - slopes[2] * mean_blue
    return ops.xp.stack(  # type: ignore[no-any-return]
        [*map(over_windows, slopes), 255 * over_windows(intercept)], axis=-1
    )


def _solve(
    rr: Floats, rg: Floats, rb: Floats, gg: Floats, gb: Floats, bb: Floats, right: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """Solve the symmetric 3 × 3 system at every pixel by elimination: in float32, cofactors cancel on grey photos."""
    by_red_in_green, by_red_in_blue = rg / rr, rb / rr
    gg = gg - by_red_in_green * rg
    gb = gb - by_red_in_green * rb
    by_green_in_blue = gb / gg
    bb = bb - by_red_in_blue * rb - by_green_in_blue * gb
    red = right[0]
    green = right[1] - by_red_in_green * red
    blue = right[2] - by_red_in_blue * red - by_green_in_blue * green
    blue = blue / bb
    green = (green - gb * blue) / gg
    red = (red - rg * green - rb * blue) / rr
    return red, green, blue
