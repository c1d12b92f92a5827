"""What a composite stands on: a colour, a gradient, the blurred photo, or a picture (`background.py` fits it)."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from cutstream.arrays.ops import ArrayOps, Colour, Floats
from cutstream.compositing.background_picture import Fit
from cutstream.contract.colours import parse_colour
from cutstream.contract.options import Background, Gradient
from cutstream.images import Matte, Pixels

TRANSPARENT = "transparent"
RAMP = 4096  # colours of a gradient: more than a canvas has rows, and far more than eight bits have levels
TRACE = np.float32(1e-3)
BOXES = 3  # box filters in a row that make a Gaussian (Wells 1986)
MIN_BLUR_PX = math.sqrt(20)  # deviation at the size that a blur is worked on: what three boxes of nine have


class Backdrop(Protocol):
    """The picture that `background.image` names."""

    def fitted(self, width: int, height: int, fit: Fit, colour: Colour) -> Pixels:
        """u8 height × width × 3, in the memory that the stages work on; shared, so not to be modified."""


def colour_of(background: Background) -> Colour | None:
    """None for `transparent`. Raises `InvalidOption`."""
    return None if background.color == TRANSPARENT else parse_colour("background.color", background.color)


def drawn(gradient: Gradient, width: int, height: int, ops: ArrayOps) -> Pixels:
    """u8 height × width × 3. Raises `InvalidOption` for a colour that is none."""
    xp = ops.xp
    x = xp.arange(width, dtype=xp.float32) + (1 - width) / 2
    y = xp.arange(height, dtype=xp.float32)[:, None] + (1 - height) / 2
    if gradient.type == "radial":
        along = xp.sqrt(x * x + y * y) / max(1.0, math.hypot(width - 1, height - 1) / 2)
    else:
        # The line of CSS: as long as makes its ends perpendicular to the farthest corners.
        right, down = math.sin(math.radians(gradient.angle)), -math.cos(math.radians(gradient.angle))
        length = max(1.0, abs(right) * (width - 1) + abs(down) * (height - 1))
        along = x * np.float32(right / length) + y * np.float32(down / length) + np.float32(0.5)
    index = xp.clip(xp.rint(along * (RAMP - 1)), 0, RAMP - 1).astype(xp.int16)
    return ops.to_device(_ramp(gradient))[index]  # type: ignore[no-any-return]


def surroundings(pixels: Pixels, alpha: Matte, sigma: float, width: int, height: int, ops: ArrayOps) -> Pixels:
    """The photo without its subject, blurred, at another size: u8 height × width × 3.

    `sigma` counts in pixels of a picture whose long side is 1000. The subject's own colours are left out of every
    mean, so that it has no glow around it.
    """
    rows, columns = alpha.shape
    small = min(1.0, 1000 / max(rows, columns) * MIN_BLUR_PX / sigma)
    size = max(1, round(columns * small)), max(1, round(rows * small))
    colours, weight = ops.shrink(pixels, 255 - alpha, *size)
    blurred = _blurred(colours, weight, sigma * max(size) / 1000, ops)
    return ops.resize_linear(blurred, width, height)


def _blurred(colours: Pixels, weight: Matte, sigma: float, ops: ArrayOps) -> Pixels:
    xp = ops.xp
    side = _box_side(sigma)

    def gaussian(plane: Floats) -> Floats:
        for _ in range(BOXES):
            plane = ops.box(plane, min(side, _odd(plane.shape[1])), min(side, _odd(plane.shape[0])))
        return plane

    shares = xp.multiply(weight, 1 / 255, dtype=xp.float32)
    # A trace of the mean everywhere, so that the middle of a large subject has a colour too.
    total = gaussian(shares + TRACE)
    mean = (colours * shares[..., None]).sum((0, 1)) / xp.maximum(shares.sum(), TRACE)
    planes = [gaussian(colours[..., channel] * shares + TRACE * mean[channel]) / total for channel in range(3)]
    return xp.clip(xp.rint(xp.stack(planes, axis=-1)), 0, 255).astype(xp.uint8)  # type: ignore[no-any-return]


def _box_side(sigma: float) -> int:
    """Of `BOXES` boxes that together have this standard deviation, odd."""
    return max(1, 2 * round((math.sqrt(12 * sigma**2 / BOXES + 1) - 1) / 2) + 1)


def _odd(side: int) -> int:
    return side if side % 2 else side - 1


def _ramp(gradient: Gradient) -> Pixels:
    stops = np.array([parse_colour("background.gradient", text) for text in gradient.colors], np.float64)
    at = np.linspace(0, len(stops) - 1, RAMP)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
