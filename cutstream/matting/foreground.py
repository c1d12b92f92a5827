"""Estimate the subject's own colours at soft edges, where a photo's pixels are mixtures: I = α · F + (1 - α) · B.

This is multi-level foreground estimation (Germer et al. 2020, arXiv:2006.14970): F and B are found together, from small
images to large ones, and each level begins with the colours of the one before. The colours are smooth, so the levels
end at a small size; at the full size each undecided pixel is solved by itself.

Neighbours have equal weight. The paper weighs them by the gradient of alpha: its own weight is no better, and a
hundredth of it 13 % better at twice the work. In the undecided pixels of a lemur's fur and of drawn hair, these colours
have 0.23 to 0.46 of the error that the photo's own colours have. PyMatting's estimate has 0.31 to 0.56, and takes many
times as long (docs/evaluation.md).
"""

from __future__ import annotations

import math

import numpy as np

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte, Pixels
from cutstream.images.geometry import reduced_size

LONG_SIDE = 400  # at 300 there is 10 % more error, at 600 4 % less
SWEEPS = 8  # of each level; half as many leave 10 % more error, twice as many 6 % less
REGULARISATION = np.float32(0.03)


def estimate_foreground(pixels: Pixels, alpha: Matte, ops: ArrayOps) -> Pixels:
    """Return the subject's colours, u8 HWC RGB. Where alpha (u8 HW) is 0 or 255, pixels stay the photo's."""
    height, width = alpha.shape
    levels = _level_sizes(width, height)
    small, small_alpha = (ops.resize_linear(plane, *levels[-1]) for plane in (pixels, alpha))
    foreground = background = ops.resize_area(small, 1, 1).astype(ops.xp.float32)  # any start gives the same result
    for size in levels:
        # Sampled, not averaged: thin hair keeps an alpha that tells its colour from the background's.
        level, level_alpha = (ops.resize_linear(plane, *size) for plane in (small, small_alpha))
        foreground, background = ops.foreground_sweep(
            level, level_alpha, foreground, background, SWEEPS, REGULARISATION
        )
    return ops.foreground_solve(pixels, alpha, foreground, background, REGULARISATION)


def _level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Return widths and heights, doubling from a single pixel up to the small image's."""
    width, height = reduced_size(width, height, LONG_SIDE)
    halvings = range(math.ceil(math.log2(max(width, height))), -1, -1)
    return [(max(1, round(width / 2**n)), max(1, round(height / 2**n))) for n in halvings]
