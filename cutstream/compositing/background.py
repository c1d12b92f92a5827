"""Draw what a composite has behind its subject: a gradient, or the photo's own blurred surroundings.

`background_picture.py` fits pictures; a plain colour is never drawn before it is blended.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from cutstream.arrays.ops import ArrayOps, Colour, Floats
from cutstream.compositing.specs import Fit, Gradient
from cutstream.images import Matte, Pixels
from cutstream.images.geometry import NOMINAL_LONG_SIDE, scaled_size

GRADIENT_STEPS = 4096  # colours of a gradient: more than a canvas has rows, and far more than eight bits have levels
TRACE = np.float32(1e-3)  # weight of the mean colour at every pixel
BOX_PASSES = 3  # box filters in a row that make a Gaussian (Wells 1986)
MIN_BLUR_PX = math.sqrt(20)  # deviation at the size that a blur is worked on: that of three boxes of nine pixels


class BackgroundPicture(Protocol):
    """The picture that a request puts behind its subject."""

    def fit(self, width: int, height: int, fit: Fit, colour: Colour) -> Pixels:
        """Return the picture as u8 height × width × 3, in the memory that the stages work on.

        The array is shared: callers must not modify it.
        """


def render_gradient(gradient: Gradient, width: int, height: int, ops: ArrayOps) -> Pixels:
    """Draw a gradient as u8 height × width × 3."""
    xp = ops.xp
    x = xp.arange(width, dtype=xp.float32) + (1 - width) / 2
    y = xp.arange(height, dtype=xp.float32)[:, None] + (1 - height) / 2
    if gradient.type == "radial":
        along = xp.sqrt(x * x + y * y) / max(1.0, math.hypot(width - 1, height - 1) / 2)
    else:
        # CSS's gradient line: so long that lines at right angles to its ends pass through the farthest corners.
        right, down = math.sin(math.radians(gradient.angle)), -math.cos(math.radians(gradient.angle))
        length = max(1.0, abs(right) * (width - 1) + abs(down) * (height - 1))
        along = x * np.float32(right / length) + y * np.float32(down / length) + np.float32(0.5)
    index = xp.clip(xp.rint(along * (GRADIENT_STEPS - 1)), 0, GRADIENT_STEPS - 1).astype(xp.int16)
    return ops.to_device(_colour_steps(gradient))[index]  # type: ignore[no-any-return]


def blur_surroundings(pixels: Pixels, alpha: Matte, sigma: float, width: int, height: int, ops: ArrayOps) -> Pixels:
    """Blur the photo (u8 HWC) without its subject (alpha, u8 HW), and return it as u8 height × width × 3.

    `sigma` is in pixels of an image whose long side is 1000. The subject's own colours are left out of every mean, so
    that it has no glow around it.
    """
    rows, columns = alpha.shape
    size = scaled_size(columns, rows, blur_scale(max(rows, columns), sigma))
    colours, weight = ops.shrink(pixels, 255 - alpha, *size)
    blurred = _weighted_blur(colours, weight, sigma * max(size) / NOMINAL_LONG_SIDE, ops)
    return ops.resize_linear(blurred, width, height)


def blur_scale(long_side: float, sigma: float) -> float:
    """Return the share of a photo's sides, up to 1, at which a blur of this deviation is worked on."""
    return min(1.0, NOMINAL_LONG_SIDE / long_side * MIN_BLUR_PX / sigma)


def _weighted_blur(colours: Pixels, weight: Matte, sigma: float, ops: ArrayOps) -> Pixels:
    xp = ops.xp
    side = _box_side(sigma)

    def gaussian(plane: Floats) -> Floats:
        for _ in range(BOX_PASSES):
            plane = ops.box(plane, min(side, _odd_at_most(plane.shape[1])), min(side, _odd_at_most(plane.shape[0])))
        return plane

    shares = xp.multiply(weight, 1 / 255, dtype=xp.float32)
    # The trace gives the middle of a large subject a colour too.
    total = gaussian(shares + TRACE)
    mean = (colours * shares[..., None]).sum((0, 1)) / xp.maximum(shares.sum(), TRACE)
    planes = [gaussian(colours[..., channel] * shares + TRACE * mean[channel]) / total for channel in range(3)]
    return xp.clip(xp.rint(xp.stack(planes, axis=-1)), 0, 255).astype(xp.uint8)  # type: ignore[no-any-return]


def _box_side(sigma: float) -> int:
    """Return the odd side of boxes that together have this standard deviation."""
    return max(1, 2 * round((math.sqrt(12 * sigma**2 / BOX_PASSES + 1) - 1) / 2) + 1)


def _odd_at_most(side: int) -> int:
    return side if side % 2 else side - 1


def _colour_steps(gradient: Gradient) -> Pixels:
    stops = np.array(gradient.colours, np.float64)
    at = np.linspace(0, len(stops) - 1, GRADIENT_STEPS)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
