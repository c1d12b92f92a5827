"""Parse the texts of a request that describe lengths, regions, sizes and places.

Every function raises `InvalidOption` with a message that names the option and says what to write.
"""

from __future__ import annotations

import re
from typing import Literal

from cutstream.compositing.perspective import check_left_to_right
from cutstream.errors import InvalidOption, RegionOutOfBounds
from cutstream.images.geometry import Length, Margin, Region

LENGTH = re.compile(r"(\d+(?:\.\d+)?)(px|%)?", re.ASCII)
SIZE = re.compile(r"(\d+)x(\d+)", re.ASCII)
MAX_LENGTH = 999_999
MAX_MARGIN_PX, MAX_MARGIN_PERCENT = 500, 50
MIN_SCALE_PERCENT = 10
MAX_CANVAS_PIXELS = 50_000_000

# For each number of values, the index of the top, right, bottom and left one, in CSS order.
SIDES = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 4: (0, 1, 2, 3)}


def parse_region(text: str) -> Region:
    """Parse `roi`: `x1 y1 x2 y2`. Also raises `RegionOutOfBounds`."""
    corners = parse_lengths("roi", text)
    if len(corners) != 4:
        raise InvalidOption(f"roi: {text!r} has {len(corners)} values; give `x1 y1 x2 y2` in px or %")
    if any(corner.percent and corner.value > 100 for corner in corners):
        raise RegionOutOfBounds(f"roi: {text!r} goes beyond 100 %")
    x1, y1, x2, y2 = corners
    for low, high in ((x1, x2), (y1, y2)):
        if low.percent == high.percent and low.value >= high.value:
            raise InvalidOption(f"roi: {text!r} is empty; give the top left corner first: `x1 y1 x2 y2`")
    return Region((x1, y1, x2, y2))


def parse_margin(text: str) -> Margin:
    """Parse `crop_margin`: 1, 2 or 4 lengths in CSS order."""
    values = parse_lengths("crop_margin", text)
    if len(values) not in SIDES:
        raise InvalidOption(f"crop_margin: {text!r} has {len(values)} values; give 1, 2 or 4 in px or %")
    if any(value.value > (MAX_MARGIN_PERCENT if value.percent else MAX_MARGIN_PX) for value in values):
        raise InvalidOption(f"crop_margin: {text!r} is above {MAX_MARGIN_PERCENT} % or {MAX_MARGIN_PX} px")
    return Margin(*(values[side] for side in SIDES[len(values)]))


def parse_canvas(text: str) -> tuple[int, int]:
    """Parse `<width>x<height>` in pixels."""
    match = SIZE.fullmatch(text)
    if match is None:
        raise InvalidOption(f"canvas: {text!r} is not a size; write for instance `1200x1600`, in px")
    width, height = int(match[1]), int(match[2])
    if not 0 < width * height <= MAX_CANVAS_PIXELS:
        count = f"{width * height:,}" if width * height < 1e15 else "far too many"
        raise InvalidOption(f"canvas: {text!r} has {count} pixels; 1 to {MAX_CANVAS_PIXELS:,} are possible")
    return width, height


def parse_scale(text: str) -> float | Literal["original"]:
    """Parse `original`, or a percentage of the canvas into a share."""
    if text == "original":
        return "original"
    shares = parse_lengths("scale", text)
    if len(shares) != 1 or not shares[0].percent or not MIN_SCALE_PERCENT <= shares[0].value <= 100:
        raise InvalidOption(f"scale: {text!r} is neither `original` nor {MIN_SCALE_PERCENT} % to 100 %")
    return shares[0].value / 100


def parse_position(text: str) -> tuple[float, float] | Literal["original"]:
    """Parse `original`, `center`, or percentages into shares of the free space on the left and above."""
    if text == "original":
        return "original"
    if text == "center":
        return 0.5, 0.5
    shares = parse_lengths("position", text)
    if len(shares) not in (1, 2) or any(not share.percent or share.value > 100 for share in shares):
        raise InvalidOption(f"position: {text!r} is neither `original` nor `center` nor 1 or 2 values of 0 % to 100 %")
    return shares[0].value / 100, shares[-1].value / 100


def parse_baseline(text: str) -> tuple[Length, Length, Length, Length]:
    """Parse `perspective.baseline`: `x1 y1 x2 y2`, from left to right."""
    ends = parse_lengths("perspective.baseline", text)
    if len(ends) != 4:
        raise InvalidOption(f"perspective.baseline: {text!r} has {len(ends)} values; give `x1 y1 x2 y2` in px or %")
    x1, y1, x2, y2 = ends
    if x1.percent == x2.percent:
        check_left_to_right(x1.value, x2.value, repr(text))
    return x1, y1, x2, y2


def parse_horizon(text: str) -> Length:
    """Parse `perspective.horizon`: one length."""
    values = parse_lengths("perspective.horizon", text)
    if len(values) != 1:
        raise InvalidOption(f"perspective.horizon: {text!r} has {len(values)} values; give one, in px or %")
    return values[0]


def parse_lengths(option: str, text: str) -> list[Length]:
    """Parse lengths in px or %, separated by spaces; `option` is named in the error."""
    matches = [(word, LENGTH.fullmatch(word)) for word in text.split()]
    for word, match in matches:
        if match is None:
            raise InvalidOption(f"{option}: {word!r} is not a length; write for instance `30px` or `10%`")
        if float(match[1]) > MAX_LENGTH:
            raise InvalidOption(f"{option}: {word!r} is above the limit of {MAX_LENGTH:,}")
    return [Length(float(match[1]), match[2] == "%") for _, match in matches if match]
