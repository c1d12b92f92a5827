"""Rectangles and lengths in an image. Pixels count from the top left corner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from cutstream.errors import InvalidOption, RegionOutOfBounds

# Lengths without a unit of their own (kernels, radii, blurs) are pixels of an image whose long side is this.
NOMINAL_LONG_SIDE = 1000


class Box(NamedTuple):
    """A rectangle in pixels: left and top are inclusive, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the rows and columns of this box, for indexing an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def relative_to(self, frame: Box) -> Box:
        """Return this rectangle in the pixels of `frame`, which contains it."""
        return Box(self.left - frame.left, self.top - frame.top, self.right - frame.left, self.bottom - frame.top)


@dataclass(frozen=True, slots=True)
class Length:
    """A length in pixels, or in percent of something that is known later."""

    value: float
    percent: bool

    def of(self, whole: int) -> int:
        """Return this length in pixels, rounded half up; a percentage is of `whole`."""
        return math.floor((self.value * whole / 100 if self.percent else self.value) + 0.5)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle `x1 y1 x2 y2` of an image whose size is known later."""

    corners: tuple[Length, Length, Length, Length]

    def on(self, width: int, height: int) -> Box:
        """Resolve the region on an image. Raises `RegionOutOfBounds`, or `InvalidOption` if nothing is left inside."""
        box = Box(*(corner.of(whole) for corner, whole in zip(self.corners, (width, height) * 2, strict=True)))
        if box.right > width or box.bottom > height:
            raise RegionOutOfBounds(f"roi ends at ({box.right}, {box.bottom}), but the image is {width}×{height}")
        if box.width <= 0 or box.height <= 0:
            raise InvalidOption(f"roi is empty: from ({box.left}, {box.top}) to ({box.right}, {box.bottom})")
        return box


@dataclass(frozen=True, slots=True)
class Margin:
    """The space kept around a subject, in CSS order; percentages are of the subject's own width and height."""

    top: Length
    right: Length
    bottom: Length
    left: Length

    def around(self, subject: Box, width: int, height: int) -> Box:
        """Return the subject's box with this margin, clipped to the image."""
        return Box(
            max(0, subject.left - self.left.of(subject.width)),
            max(0, subject.top - self.top.of(subject.height)),
            min(width, subject.right + self.right.of(subject.width)),
            min(height, subject.bottom + self.bottom.of(subject.height)),
        )


def limited_size(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """Return the largest size of the same aspect ratio with at most `max_pixels` pixels, never above the given one."""
    if max_pixels is None or width * height <= max_pixels:
        return width, height
    factor = math.sqrt(max_pixels / (width * height))
    short = max(1, math.floor(min(width, height) * factor))
    long = min(max(1, math.floor(max(width, height) * factor)), max_pixels // short)
    return (long, short) if width >= height else (short, long)


def shrink_factor(width: int, height: int, long_side: float) -> float:
    """Return the factor, at most 1, that brings the longer side down to `long_side`."""
    return min(1.0, long_side / max(width, height))


def scaled_size(width: int, height: int, factor: float) -> tuple[int, int]:
    """Return width and height times `factor`, each rounded and at least 1."""
    return max(1, round(width * factor)), max(1, round(height * factor))


def reduced_size(width: int, height: int, long_side: float) -> tuple[int, int]:
    """Return the size with the longer side brought down to `long_side`; a smaller image keeps its size."""
    return scaled_size(width, height, shrink_factor(width, height, long_side))


def odd(size: float) -> int:
    """Round to the nearest odd number; of two that are equally near, take the larger."""
    return 2 * int(size / 2) + 1


def window_side(radius: float, side: int) -> int:
    """Return the odd side of a window with this radius: at least 3 pixels, and no wider than `side` allows.

    A mean filter mirrors the image at its border, which it cannot do beyond the image's own width.
    """
    return 2 * min(max(1, round(radius)), side // 2) + 1
