"""Resolve where the photo's frame goes on the canvas, and bring it there.

The frame is the part of the photo that is kept: all of it, or what `crop` leaves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.specs import PlacementSpec
from cutstream.images import Matte, Pixels
from cutstream.images.geometry import Box, limited_size


@dataclass(frozen=True, slots=True)
class Placement:
    """A canvas of `width` × `height`, whose box `target` shows the frame's box `source`."""

    width: int
    height: int
    source: Box
    target: Box

    @property
    def fills_canvas(self) -> bool:
        return self.target == Box(0, 0, self.width, self.height)


def resolve_placement(frame: Box, subject: Box, spec: PlacementSpec) -> Placement:
    """Resolve `spec` for this photo; `frame` and the visible subject's box are in the photo's pixels.

    As at remove.bg, `scale` sizes the subject's box relative to the canvas, and centres it unless there is a
    `position`. With a canvas alone, the whole frame fits into it.
    """
    if (spec.canvas, spec.scale, spec.position) == (None, None, None):
        return own_placement(frame, spec.max_pixels)
    full_width, full_height = spec.canvas or (frame.width, frame.height)
    width, height = limited_size(full_width, full_height, spec.max_pixels)
    whole = Box(0, 0, frame.width, frame.height)
    subject = subject.relative_to(frame)
    factor = _scale_factor(spec, whole, subject, width, height, width / full_width)
    left, top = _frame_origin(spec, whole, subject, width, height, factor)
    return _visible_placement(whole, width, height, factor, left, top)


def own_placement(frame: Box, max_pixels: int | None) -> Placement:
    """Return the placement that shows the whole frame on a canvas of its own shape."""
    width, height = limited_size(frame.width, frame.height, max_pixels)
    return Placement(width, height, Box(0, 0, frame.width, frame.height), Box(0, 0, width, height))


def place(frame: ForegroundLayer, placement: Placement, ops: ArrayOps) -> ForegroundLayer:
    """Scale the frame onto its canvas. Alpha and colours are 0 where the frame does not reach."""
    source, target = frame.crop(placement.source), placement.target
    if (target.width, target.height) == (placement.source.width, placement.source.height):
        scaled = source
    elif target.width <= placement.source.width and target.height <= placement.source.height:
        scaled = ForegroundLayer(*ops.shrink(*source, target.width, target.height))
    else:
        scaled = ForegroundLayer(*(ops.resize_linear(plane, target.width, target.height) for plane in source))
    if placement.fills_canvas:
        return scaled
    return ForegroundLayer(*(_paste(plane, placement, ops) for plane in scaled))


def place_plane(plane: Matte, placement: Placement, ops: ArrayOps) -> Matte:
    """Scale a plane of the frame (u8 HW, such as its depth) onto the canvas as `place` does, by interpolation."""
    scaled = ops.resize_linear(plane[placement.source.slices], placement.target.width, placement.target.height)
    return scaled if placement.fills_canvas else _paste(scaled, placement, ops)


def _scale_factor(
    spec: PlacementSpec, frame: Box, subject: Box, width: int, height: int, canvas_factor: float
) -> float:
    """Return the canvas's pixels per pixel of the photo; `canvas_factor` is what `max_pixels` leaves of the canvas."""
    if spec.scale is None:
        return min(width / frame.width, height / frame.height)
    if spec.scale == "original":
        return canvas_factor
    return spec.scale * min(width / subject.width, height / subject.height)


def _frame_origin(
    spec: PlacementSpec, frame: Box, subject: Box, width: int, height: int, factor: float
) -> tuple[float, float]:
    """Return the position of the frame's upper left corner on the canvas."""
    if spec.position == "original":
        middle_x, middle_y = (subject.left + subject.right) / 2, (subject.top + subject.bottom) / 2
        return middle_x * (width / frame.width - factor), middle_y * (height / frame.height - factor)
    if spec.position is not None:
        anchor, (x, y) = subject, spec.position
    elif spec.scale is None or spec.scale == "original":
        anchor, x, y = frame, 0.5, 0.5
    else:
        anchor, x, y = subject, 0.5, 0.5
    left = x * (width - anchor.width * factor) - anchor.left * factor
    return left, y * (height - anchor.height * factor) - anchor.top * factor


def _visible_placement(frame: Box, width: int, height: int, factor: float, left: float, top: float) -> Placement:
    """Limit the placement to what lands on the canvas: nothing else is scaled, however large the frame would be."""
    first_column, end_column = _visible_span(frame.width, width, factor, left)
    first_row, end_row = _visible_span(frame.height, height, factor, top)
    source = Box(first_column, first_row, end_column, end_row)
    target = Box(
        round(left + source.left * factor),
        round(top + source.top * factor),
        max(round(left + source.right * factor), round(left + source.left * factor) + 1),
        max(round(top + source.bottom * factor), round(top + source.top * factor) + 1),
    )
    return Placement(width, height, source, target)


def _visible_span(length: int, canvas: int, factor: float, start: float) -> tuple[int, int]:
    """Return the first and the last (exclusive) pixel of the frame that reach the canvas; at least one."""
    first = min(max(0, math.floor(-start / factor)), length - 1)
    last = min(length, max(first + 1, math.ceil((canvas - start) / factor)))
    return first, last


def _paste(plane: Pixels, placement: Placement, ops: ArrayOps) -> Pixels:
    canvas: Pixels = ops.xp.zeros((placement.height, placement.width, *plane.shape[2:]), ops.xp.uint8)
    target = placement.target
    left, top = max(0, target.left), max(0, target.top)
    right, bottom = min(placement.width, target.right), min(placement.height, target.bottom)
    if left < right and top < bottom:
        canvas[top:bottom, left:right] = plane[
            top - target.top : bottom - target.top, left - target.left : right - target.left
        ]
    return canvas
