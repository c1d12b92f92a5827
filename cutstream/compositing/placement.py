"""Where the photo's frame goes on the canvas, and its way there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from cutstream.arrays.ops import ArrayOps
from cutstream.contract.geometry import parse_canvas, parse_position, parse_scale
from cutstream.contract.messages import Request
from cutstream.images import Matte, Pixels
from cutstream.images.geometry import Box, limited_size

MAX_PIXELS = {"preview": 250_000, "medium": 1_500_000, "hd": 4_000_000, "full": None, "auto": None}


class Subject(NamedTuple):
    """`pixels`: u8 HWC RGB, straight colours; `alpha`: u8 HW of the same size."""

    pixels: Pixels
    alpha: Matte


@dataclass(frozen=True, slots=True)
class Placement:
    """A canvas of `width` × `height`. The frame's `part`, in its own pixels, covers the canvas's `target`."""

    width: int
    height: int
    part: Box
    target: Box

    @property
    def fills(self) -> bool:
        return self.target == Box(0, 0, self.width, self.height)


def placement(frame: Box, subject: Box, request: Request) -> Placement:
    """`frame`: what of the photo is kept; `subject`: its visible box, both in the photo's pixels.

    As remove.bg has it: `scale` sizes the subject's box in relation to the canvas and centres it, unless a `position`
    is given. With a canvas alone the frame fits into it. Raises `InvalidOption`.
    """
    wanted = parse_canvas(request.canvas) if request.canvas else (frame.width, frame.height)
    width, height = limited_size(*wanted, MAX_PIXELS[request.size])
    whole = Box(0, 0, frame.width, frame.height)
    if (request.canvas, request.scale, request.position) == (None, None, None):
        return Placement(width, height, whole, Box(0, 0, width, height))
    own = Box(
        subject.left - frame.left, subject.top - frame.top, subject.right - frame.left, subject.bottom - frame.top
    )
    factor = _factor(request.scale, whole, own, width, height, width / wanted[0])
    left, top = _origin(request, whole, own, width, height, factor)
    return _visible(whole, width, height, factor, left, top)


def place(photo: Subject, where: Placement, ops: ArrayOps) -> Subject:
    """The frame's colours and alpha at the canvas's size; nothing is where the frame does not reach."""
    rows, columns = where.part.slices
    pixels, alpha = photo.pixels[rows, columns], photo.alpha[rows, columns]
    width, height = where.target.width, where.target.height
    if (width, height) == (where.part.width, where.part.height):
        scaled = Subject(pixels, alpha)
    elif width <= where.part.width and height <= where.part.height:
        scaled = Subject(*ops.shrink(pixels, alpha, width, height))
    else:
        scaled = Subject(ops.resize_linear(pixels, width, height), ops.resize_linear(alpha, width, height))
    return scaled if where.fills else Subject(*(_pasted(array, where, ops) for array in scaled))


def place_plane(plane: Matte, where: Placement, ops: ArrayOps) -> Matte:
    """As `place`, for what is measured over the photo: u8 HW, interpolated."""
    part = plane[where.part.slices]
    scaled = ops.resize_linear(part, where.target.width, where.target.height)
    return scaled if where.fills else _pasted(scaled, where, ops)


def _factor(scale: str | None, frame: Box, subject: Box, width: int, height: int, original: float) -> float:
    """Canvas pixels per pixel of the photo."""
    if scale is None:
        return min(width / frame.width, height / frame.height)
    share = parse_scale(scale)
    return original if share is None else share * min(width / subject.width, height / subject.height)


def _origin(request: Request, frame: Box, subject: Box, width: int, height: int, factor: float) -> tuple[float, float]:
    """The canvas position of the frame's left top corner."""
    if request.position is not None:
        position = parse_position(request.position)
        if position is None:
            middle_x, middle_y = (subject.left + subject.right) / 2, (subject.top + subject.bottom) / 2
            return middle_x * (width / frame.width - factor), middle_y * (height / frame.height - factor)
        anchor, (x, y) = subject, position
    elif request.scale is None or parse_scale(request.scale) is None:
        anchor, x, y = frame, 0.5, 0.5
    else:
        anchor, x, y = subject, 0.5, 0.5
    left = x * (width - anchor.width * factor) - anchor.left * factor
    return left, y * (height - anchor.height * factor) - anchor.top * factor


def _visible(frame: Box, width: int, height: int, factor: float, left: float, top: float) -> Placement:
    """Only what lands on the canvas is ever scaled, however large the whole frame would become."""
    columns = _span(frame.width, width, factor, left)
    rows = _span(frame.height, height, factor, top)
    part = Box(columns[0], rows[0], columns[1], rows[1])
    target = Box(
        round(left + part.left * factor),
        round(top + part.top * factor),
        max(round(left + part.right * factor), round(left + part.left * factor) + 1),
        max(round(top + part.bottom * factor), round(top + part.top * factor) + 1),
    )
    return Placement(width, height, part, target)


def _span(length: int, canvas: int, factor: float, start: float) -> tuple[int, int]:
    """First and last (exclusive) pixel of the frame that reach the canvas; at least one."""
    first = min(max(0, math.floor(-start / factor)), length - 1)
    last = min(length, max(first + 1, math.ceil((canvas - start) / factor)))
    return first, last


def _pasted(array: Pixels, where: Placement, ops: ArrayOps) -> Pixels:
    canvas: Pixels = ops.xp.zeros((where.height, where.width, *array.shape[2:]), ops.xp.uint8)
    target = where.target
    left, top = max(0, target.left), max(0, target.top)
    right, bottom = min(where.width, target.right), min(where.height, target.bottom)
    if left < right and top < bottom:
        canvas[top:bottom, left:right] = array[
            top - target.top : bottom - target.top, left - target.left : right - target.left
        ]
    return canvas
