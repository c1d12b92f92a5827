"""Rectangles of a picture, and the request's texts that describe them. Pixels count from the top left corner."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from cutstream.errors import InvalidOption, RegionOutOfBounds

LENGTH = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(px|%)?")
SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
MAX_MARGIN_PX, MAX_MARGIN_PERCENT = 500, 50
MIN_SCALE_PERCENT = 10
MAX_CANVAS_PIXELS = 50_000_000

# CSS order: which of the given values is the top, right, bottom and left one.
SIDES = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 4: (0, 1, 2, 3)}


class Box(NamedTuple):
    """Left and top inclusive, right and bottom exclusive."""

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
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Length:
    value: float
    percent: bool

    def of(self, whole: int) -> int:
        """In pixels, rounded half up; a percentage is of `whole`."""
        return math.floor((self.value * whole / 100 if self.percent else self.value) + 0.5)


@dataclass(frozen=True, slots=True)
class Region:
    """`x1 y1 x2 y2`, before the picture's size is known."""

    corners: tuple[Length, Length, Length, Length]

    def on(self, width: int, height: int) -> Box:
        """Raises `RegionOutOfBounds`, or `InvalidOption` where nothing is left inside."""
        box = Box(*(corner.of(whole) for corner, whole in zip(self.corners, (width, height) * 2, strict=True)))
        if box.right > width or box.bottom > height:
            raise RegionOutOfBounds(f"roi ends at ({box.right}, {box.bottom}), but the picture is {width}×{height}")
        if box.width <= 0 or box.height <= 0:
            raise InvalidOption(f"roi is empty: from ({box.left}, {box.top}) to ({box.right}, {box.bottom})")
        return box


@dataclass(frozen=True, slots=True)
class Margin:
    """In CSS order; percentages are of the subject's own width and height."""

    top: Length
    right: Length
    bottom: Length
    left: Length

    def around(self, subject: Box, width: int, height: int) -> Box:
        """Cut off where it would leave the picture."""
        return Box(
            max(0, subject.left - self.left.of(subject.width)),
            max(0, subject.top - self.top.of(subject.height)),
            min(width, subject.right + self.right.of(subject.width)),
            min(height, subject.bottom + self.bottom.of(subject.height)),
        )


def parse_region(text: str) -> Region:
    corners = lengths("roi", text)
    if len(corners) != 4:
        raise InvalidOption(f"roi: {text!r} has {len(corners)} values; give `x1 y1 x2 y2` in px or %")
    if any(corner.percent and corner.value > 100 for corner in corners):
        raise RegionOutOfBounds(f"roi: {text!r} goes beyond 100 %")
    x1, y1, x2, y2 = corners
    for low, high in ((x1, x2), (y1, y2)):
        if low.percent == high.percent and low.value >= high.value:
            raise InvalidOption(f"roi: {text!r} is empty; give the left top corner first: `x1 y1 x2 y2`")
    return Region((x1, y1, x2, y2))


def parse_margin(text: str) -> Margin:
    values = lengths("crop_margin", text)
    if len(values) not in SIDES:
        raise InvalidOption(f"crop_margin: {text!r} has {len(values)} values; give 1, 2 or 4 in px or %")
    if any(value.value > (MAX_MARGIN_PERCENT if value.percent else MAX_MARGIN_PX) for value in values):
        raise InvalidOption(f"crop_margin: {text!r} is above {MAX_MARGIN_PERCENT} % or {MAX_MARGIN_PX} px")
    return Margin(*(values[side] for side in SIDES[len(values)]))


def parse_canvas(text: str) -> tuple[int, int]:
    """`<width>x<height>` in pixels."""
    match = SIZE.fullmatch(text)
    if match is None:
        raise InvalidOption(f"canvas: {text!r} is no size; write for instance `1200x1600`, in px")
    width, height = int(match[1]), int(match[2])
    if not 0 < width * height <= MAX_CANVAS_PIXELS:
        raise InvalidOption(f"canvas: {text!r} has {width * height:,} pixels; 1 to {MAX_CANVAS_PIXELS:,} are possible")
    return width, height


def parse_scale(text: str) -> float | None:
    """A share of the canvas, or None for `original`."""
    if text == "original":
        return None
    shares = lengths("scale", text)
    if len(shares) != 1 or not shares[0].percent or not MIN_SCALE_PERCENT <= shares[0].value <= 100:
        raise InvalidOption(f"scale: {text!r} is neither `original` nor {MIN_SCALE_PERCENT} % to 100 %")
    return shares[0].value / 100


def parse_position(text: str) -> tuple[float, float] | None:
    """Shares of the room that is left, from the left and from the top; None for `original`."""
    if text == "original":
        return None
    if text == "center":
        return 0.5, 0.5
    shares = lengths("position", text)
    if len(shares) not in (1, 2) or any(not share.percent or share.value > 100 for share in shares):
        raise InvalidOption(f"position: {text!r} is neither `original` nor `center` nor 1 or 2 values of 0 % to 100 %")
    return shares[0].value / 100, shares[-1].value / 100


def limited(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """The largest size of the same aspect with at most `max_pixels` pixels, never larger than given."""
    if max_pixels is None or width * height <= max_pixels:
        return width, height
    factor = math.sqrt(max_pixels / (width * height))
    short = max(1, math.floor(min(width, height) * factor))
    long = min(max(1, math.floor(max(width, height) * factor)), max_pixels // short)
    return (long, short) if width >= height else (short, long)


def lengths(option: str, text: str) -> list[Length]:
    """Of a text of lengths in px or %. Raises `InvalidOption`."""
    matches = [(word, LENGTH.fullmatch(word)) for word in text.split()]
    for word, match in matches:
        if match is None:
            raise InvalidOption(f"{option}: {word!r} is no length; write for instance `30px` or `10%`")
    return [Length(float(match[1]), match[2] == "%") for _, match in matches if match]
