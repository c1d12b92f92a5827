"""The subject as an upright plane on a line of the canvas, and the request's texts that say where.

Only the line and the horizon are known, so the plane is the one that looks right with them: uprights stay vertical and
shrink towards the horizon in proportion to how far below it they stand, which is what a camera held level shows
(Criminisi et al., Single View Metrology, 2000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cutstream.arrays.ops import ArrayOps, Homography
from cutstream.contract.geometry import lengths
from cutstream.contract.options import Perspective
from cutstream.errors import InvalidOption
from cutstream.images import Matte, Pixels
from cutstream.images.geometry import Box, Length

LARGEST = 4  # times the canvas, in either direction: a subject beyond that is a mistake, and shows next to nothing
ENOUGH = 0.75  # of the size: `warp` alone does not show what it leaves out, and costs a quarter
BLACK = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the subject's lower corners stand, in pixels of the canvas, and the row of the horizon."""

    left: tuple[int, int]
    right: tuple[int, int]
    horizon: int | None

    @property
    def length(self) -> float:
        return math.dist(self.left, self.right)

    @property
    def slope(self) -> float:
        """Of the baseline, in rows per column."""
        return (self.right[1] - self.left[1]) / (self.right[0] - self.left[0])

    def uprights(self, aspect: float) -> tuple[float, float]:
        """How tall the left and the right edge are; `aspect` is the subject's height by its width."""
        mean = aspect * self.length
        if self.horizon is None:
            return mean, mean
        left, right = self.left[1] - self.horizon, self.right[1] - self.horizon
        return 2 * mean * left / (left + right), 2 * mean * right / (left + right)


@dataclass(frozen=True, slots=True)
class Standing:
    """`baseline` and `horizon`, before the canvas's size is known."""

    baseline: tuple[Length, Length, Length, Length]
    horizon: Length | None

    def on(self, width: int, height: int) -> Ground:
        """Raises `InvalidOption` where a subject could not stand there."""
        x1, y1, x2, y2 = (end.of(whole) for end, whole in zip(self.baseline, (width, height) * 2, strict=True))
        _check_order(x1, x2, f"from ({x1}, {y1}) to ({x2}, {y2})")
        if all(x > width or y > height for x, y in ((x1, y1), (x2, y2))):
            raise InvalidOption(
                f"perspective.baseline: ({x1}, {y1}) and ({x2}, {y2}) both lie outside the canvas of {width}×{height}: "
                "move one of them inside"
            )
        horizon = None if self.horizon is None else self.horizon.of(height)
        if horizon is not None and horizon >= min(y1, y2):
            raise InvalidOption(
                f"perspective.horizon: row {horizon} is not above the baseline, whose higher end is in row "
                f"{min(y1, y2)}: the ground ends at the horizon"
            )
        return Ground((x1, y1), (x2, y2), horizon)


def parse_perspective(how: Perspective) -> Standing:
    """All that can be said without the canvas. Raises `InvalidOption`."""
    ends = lengths("perspective.baseline", how.baseline)
    if len(ends) != 4:
        raise InvalidOption(
            f"perspective.baseline: {how.baseline!r} has {len(ends)} values; give `x1 y1 x2 y2` in px or %"
        )
    x1, y1, x2, y2 = ends
    if x1.percent == x2.percent:
        _check_order(x1.value, x2.value, repr(how.baseline))
    return Standing((x1, y1, x2, y2), None if how.horizon is None else _horizon(how.horizon))


def stand(
    pixels: Pixels, alpha: Matte, box: Box, how: Perspective, width: int, height: int, ops: ArrayOps
) -> tuple[Pixels, Matte]:
    """What is in `box` of a photo (u8 HWC straight colour, u8 HW) on an empty canvas of width × height.

    The box's lower corners come to the ends of the baseline. Colour is straight, and 0 where alpha is 0. Raises what
    `parse_perspective` raises, and `InvalidOption` for a subject that would be far larger than the canvas.
    """
    ground = parse_perspective(how).on(width, height)
    tall = ground.uprights(box.height / box.width)
    _check_size(ground.length, max(tall), width, height)
    pixels, alpha = _reduced(pixels[box.slices], alpha[box.slices], ground.length, max(tall), ops)
    to_photo = _homography(_corners(ground, tall), alpha.shape[1], alpha.shape[0])
    window = _window(_corners(ground, tall), width, height)
    on_canvas = ops.xp.zeros((height, width, 3), ops.xp.uint8), ops.xp.zeros((height, width), ops.xp.uint8)
    if window.width > 0 and window.height > 0:
        shift = np.array([[1, 0, window.left], [0, 1, window.top], [0, 0, 1]])
        premultiplied = ops.warp(ops.blend(pixels, alpha, BLACK), to_photo @ shift, window.width, window.height)
        opacity = ops.warp(alpha, to_photo @ shift, window.width, window.height)
        on_canvas[0][window.slices] = _straight(premultiplied, opacity, ops)
        on_canvas[1][window.slices] = opacity
    return on_canvas


def _horizon(text: str) -> Length:
    values = lengths("perspective.horizon", text)
    if len(values) != 1:
        raise InvalidOption(f"perspective.horizon: {text!r} has {len(values)} values; give one, in px or %")
    return values[0]


def _check_order(x1: float, x2: float, where: str) -> None:
    if x1 == x2:
        raise InvalidOption(f"perspective.baseline: {where} has no width: the subject would be a line")
    if x1 > x2:
        raise InvalidOption(f"perspective.baseline: {where} goes to the left: give the left end first")


def _check_size(wide: float, tall: float, width: int, height: int) -> None:
    if wide > LARGEST * width or tall > LARGEST * height:
        raise InvalidOption(
            f"perspective: the subject would be {wide:.0f}×{tall:.0f}, more than {LARGEST} times the canvas of "
            f"{width}×{height}: give a shorter baseline"
        )


def _reduced(pixels: Pixels, alpha: Matte, wide: float, tall: float, ops: ArrayOps) -> tuple[Pixels, Matte]:
    """At about the size it will have, by averaging: `warp` itself looks at four pixels only."""
    rows, columns = alpha.shape
    width, height = min(columns, math.ceil(wide)), min(rows, math.ceil(tall))
    if width > ENOUGH * columns and height > ENOUGH * rows:
        return pixels, alpha
    return ops.shrink(pixels, alpha, width, height)


def _corners(ground: Ground, tall: tuple[float, float]) -> list[tuple[float, float]]:
    """Lower left, lower right, upper right, upper left."""
    (x1, y1), (x2, y2) = ground.left, ground.right
    return [(x1, y1), (x2, y2), (x2, y2 - tall[1]), (x1, y1 - tall[0])]


def _homography(corners: list[tuple[float, float]], width: int, height: int) -> Homography:
    """Takes these corners of the canvas to those of a width × height picture."""
    x0, y0 = corners[0]  # w is 1 here; at the canvas's own corner it may be 0
    targets = [(0, height), (width, height), (width, 0), (0, 0)]
    equations, right = [], []
    for (x, y), (u, v) in zip(((x - x0, y - y0) for x, y in corners), targets, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    from_corner: Homography = np.append(np.linalg.solve(np.array(equations, np.float64), right), 1.0).reshape(3, 3)
    from_origin: Homography = from_corner @ np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]])
    return from_origin


def _window(corners: list[tuple[float, float]], width: int, height: int) -> Box:
    """All pixels that the subject touches. The line where w is 0 lies outside of it."""
    columns, rows = zip(*corners, strict=True)
    return Box(
        max(0, math.floor(min(columns)) - 1),
        max(0, math.floor(min(rows)) - 1),
        min(width, math.ceil(max(columns)) + 1),
        min(height, math.ceil(max(rows)) + 1),
    )


def _straight(premultiplied: Pixels, alpha: Matte, ops: ArrayOps) -> Pixels:
    """Only soft edges have to be divided: a few in a hundred pixels."""
    xp = ops.xp
    soft = xp.flatnonzero((alpha != 0) & (alpha != 255))  # sync: how many there are
    pixels: Pixels = premultiplied.reshape(-1, 3)
    gain = 255 / alpha.reshape(-1)[soft].astype(xp.float32)
    colours = pixels[soft] * gain[:, None] + np.float32(0.5)
    pixels[soft] = xp.minimum(colours, np.float32(255)).astype(xp.uint8)
    return pixels.reshape(*alpha.shape, 3)
