"""Stand the subject as an upright plane on a line of the canvas.

Only the line and the horizon are known, so the plane is the one that looks right with them: uprights stay vertical and
shrink towards the horizon in proportion to how far below it they stand, which is what a camera held level shows
(Criminisi et al., Single View Metrology, 2000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cutstream.arrays.ops import ArrayOps, Homography
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.specs import BLACK, PerspectiveSpec
from cutstream.errors import InvalidOption
from cutstream.images import Matte, Pixels
from cutstream.images.geometry import Box

# Largest size of the subject, in canvases in either direction: a larger one is a mistake, and shows next to nothing.
MAX_CANVASES = 4
# Share of the subject's size from which `warp` works without averaging first: the pixels that it then skips do not
# show, and it takes a quarter of the time.
WARP_ONLY_FROM = 0.75


@dataclass(frozen=True, slots=True)
class GroundLine:
    """The ends of the line the subject stands on, in pixels of the canvas, and the row of the horizon."""

    left: tuple[int, int]
    right: tuple[int, int]
    horizon: int | None

    @property
    def length(self) -> float:
        return math.dist(self.left, self.right)

    @property
    def slope(self) -> float:
        """The rows that the line falls per column."""
        return (self.right[1] - self.left[1]) / (self.right[0] - self.left[0])

    def upright_heights(self, aspect: float) -> tuple[float, float]:
        """Return the heights of the left and right edge of a subject whose height is `aspect` times its width."""
        mean = aspect * self.length
        if self.horizon is None:
            return mean, mean
        left, right = self.left[1] - self.horizon, self.right[1] - self.horizon
        return 2 * mean * left / (left + right), 2 * mean * right / (left + right)


def resolve_ground_line(spec: PerspectiveSpec, width: int, height: int) -> GroundLine:
    """Resolve `spec` on a canvas of this size. Raises `InvalidOption` if a subject cannot stand there."""
    x1, y1, x2, y2 = (end.of(whole) for end, whole in zip(spec.baseline, (width, height) * 2, strict=True))
    check_left_to_right(x1, x2, f"from ({x1}, {y1}) to ({x2}, {y2})")
    if all(x > width or y > height for x, y in ((x1, y1), (x2, y2))):
        raise InvalidOption(
            f"perspective.baseline: ({x1}, {y1}) and ({x2}, {y2}) both lie outside the canvas of {width}×{height}: "
            "move one of them inside"
        )
    horizon = None if spec.horizon is None else spec.horizon.of(height)
    if horizon is not None and horizon >= min(y1, y2):
        raise InvalidOption(
            f"perspective.horizon: row {horizon} is not above the baseline, whose higher end is in row "
            f"{min(y1, y2)}: give a smaller horizon"
        )
    return GroundLine((x1, y1), (x2, y2), horizon)


def check_left_to_right(x1: float, x2: float, line: str) -> None:
    """Raise `InvalidOption` unless a baseline goes from left to right; `line` describes it in the message."""
    if x1 == x2:
        raise InvalidOption(f"perspective.baseline: {line} has no width: the subject would be a line")
    if x1 > x2:
        raise InvalidOption(f"perspective.baseline: {line} goes to the left: give the left end first")


def stand(
    photo: ForegroundLayer, box: Box, spec: PerspectiveSpec, width: int, height: int, ops: ArrayOps
) -> ForegroundLayer:
    """Stand the part of the photo in `box` on an otherwise empty canvas of width × height.

    The box's lower corners come to the ends of the baseline. Colours are straight, and 0 where alpha is 0. Raises
    `InvalidOption` if the subject cannot stand there, or would be far larger than the canvas.
    """
    ground = resolve_ground_line(spec, width, height)
    uprights = ground.upright_heights(box.height / box.width)
    _check_size(ground.length, max(uprights), width, height)
    pixels, alpha = _reduce(photo.crop(box), ground.length, max(uprights), ops)
    corners = _corners(ground, uprights)
    to_photo = _homography(corners, alpha.shape[1], alpha.shape[0])
    window = _window(corners, width, height)
    canvas = ForegroundLayer(
        ops.xp.zeros((height, width, 3), ops.xp.uint8), ops.xp.zeros((height, width), ops.xp.uint8)
    )
    if window.width > 0 and window.height > 0:
        shift = np.array([[1, 0, window.left], [0, 1, window.top], [0, 0, 1]])
        premultiplied = ops.warp(ops.blend(pixels, alpha, BLACK), to_photo @ shift, window.width, window.height)
        opacity = ops.warp(alpha, to_photo @ shift, window.width, window.height)
        canvas.pixels[window.slices] = _unpremultiply(premultiplied, opacity, ops)
        canvas.alpha[window.slices] = opacity
    return canvas


def _check_size(subject_width: float, subject_height: float, width: int, height: int) -> None:
    if subject_width > MAX_CANVASES * width or subject_height > MAX_CANVASES * height:
        raise InvalidOption(
            f"perspective: the subject would be {subject_width:.0f}×{subject_height:.0f}, more than {MAX_CANVASES} "
            f"times the canvas of {width}×{height}: give a shorter baseline"
        )


def _reduce(subject: ForegroundLayer, target_width: float, target_height: float, ops: ArrayOps) -> ForegroundLayer:
    """Average down to about the target size, since `warp` itself reads four pixels only."""
    rows, columns = subject.alpha.shape
    width, height = min(columns, math.ceil(target_width)), min(rows, math.ceil(target_height))
    if width > WARP_ONLY_FROM * columns and height > WARP_ONLY_FROM * rows:
        return subject
    return ForegroundLayer(*ops.shrink(*subject, width, height))


def _corners(ground: GroundLine, uprights: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the subject's corners on the canvas: lower left, lower right, upper right, upper left."""
    (x1, y1), (x2, y2) = ground.left, ground.right
    return [(x1, y1), (x2, y2), (x2, y2 - uprights[1]), (x1, y1 - uprights[0])]


def _homography(corners: list[tuple[float, float]], width: int, height: int) -> Homography:
    """Return the matrix that takes these corners of the canvas to those of a width × height image."""
    x0, y0 = corners[0]  # the origin of the equations, where w is 1; at the canvas's own corner w may be 0
    targets = [(0, height), (width, height), (width, 0), (0, 0)]
    equations, right = [], []
    for (x, y), (u, v) in zip(((x - x0, y - y0) for x, y in corners), targets, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    from_corner: Homography = np.append(np.linalg.solve(np.array(equations, np.float64), right), 1.0).reshape(3, 3)
    from_origin: Homography = from_corner @ np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]])
    return from_origin


def _window(corners: list[tuple[float, float]], width: int, height: int) -> Box:
    """Return the box of all pixels that the subject touches. The line where w is 0 lies outside it."""
    columns, rows = zip(*corners, strict=True)
    return Box(
        max(0, math.floor(min(columns)) - 1),
        max(0, math.floor(min(rows)) - 1),
        min(width, math.ceil(max(columns)) + 1),
        min(height, math.ceil(max(rows)) + 1),
    )


def _unpremultiply(premultiplied: Pixels, alpha: Matte, ops: ArrayOps) -> Pixels:
    """Divide colours by alpha, at soft edges only: those are a few pixels in a hundred."""
    xp = ops.xp
    soft = xp.flatnonzero((alpha != 0) & (alpha != 255))  # sync: their number
    pixels: Pixels = premultiplied.reshape(-1, 3)
    gain = 255 / alpha.reshape(-1)[soft].astype(xp.float32)
    colours = pixels[soft] * gain[:, None] + np.float32(0.5)
    pixels[soft] = xp.minimum(colours, np.float32(255)).astype(xp.uint8)
    return pixels.reshape(*alpha.shape, 3)
