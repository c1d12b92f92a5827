"""`ArrayOps.local_linear` in OpenCV, computed only where the result can be anything else than 0 or 255.

Far from the subject's edge the coefficients leave a pixel no choice: whatever its colour, the sum saturates. In real
photos that is three quarters of all pixels. What remains is cut into rectangles, which are computed side by side in one
buffer: it stays in the cache, and a call of OpenCV from Python takes as long as a thousand pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import Floats
from cutstream.images import Matte, Pixels

BUFFER_PIXELS = 16 * 1024  # all buffers together take half a megabyte
ROWS = 32  # of a rectangle; fewer fit the edge more closely, but make more calls
JOINED_PIXELS = 48  # a gap up to this wide is computed, too: that takes less time than another rectangle
ROUNDING = 0.25  # float32 is off by far less, even where slopes of 10,000 cancel out
UNDECIDED, ZERO, FULL = 0, 1, 2

Cells = NDArray[np.uint8]


class Rectangle(NamedTuple):
    """A part of the image to be computed. All have the same height."""

    top: int
    left: int
    right: int


def local_linear(coefficients: Floats, pixels: Pixels) -> Matte:
    """Compute what `ops.py` says. See there for the arguments."""
    height, width = pixels.shape[:2]
    out = np.zeros((height, width), np.uint8)
    buffer = _Buffer(coefficients, pixels, out)
    for rectangle in _fill(out, _cells(coefficients), min(ROWS, height)):
        buffer.add(rectangle)
    buffer.compute()
    return out


def _cells(coefficients: Floats) -> Cells:
    """Return whether the result is undecided, 0 or 255 between neighbouring points of the grid: (h + 1) × (w + 1).

    Cell (i, j) lies between the points i - 1 and i, and j - 1 and j. A point beyond the border is as the nearest one.
    Interpolation is a weighted mean of four points, and so are the bounds of the sum over all colours.
    """
    points = np.asarray(cv2.copyMakeBorder(_points(coefficients), 1, 1, 1, 1, cv2.BORDER_REPLICATE), np.uint8)
    pairs = points[:-1] & points[1:]
    return pairs[:, :-1] & pairs[:, 1:]


def _points(coefficients: Floats) -> Cells:
    """Return for each point of the grid whether the result is undecided, or 0 or 255 for all colours."""
    rows, columns = coefficients.shape[:2]
    planes = _planes(4, rows * columns, np.float32)
    red, green, blue, middle = (plane.reshape(rows, columns) for plane in planes)
    cv2.split(coefficients, [red, green, blue, middle])
    # Colours range over 127.5 ± 127.5, so the sum ranges over its value at grey ± 127.5 · the slopes' magnitudes.
    total = cv2.add(cv2.add(red, green), blue)
    cv2.scaleAdd(total, 127.5, middle, dst=middle)
    for slope in (red, green, blue):
        np.abs(slope, out=slope)
    cv2.add(red, green, dst=red)
    cv2.add(red, blue, dst=red)
    cv2.scaleAdd(red, -127.5, middle, dst=green)
    cv2.scaleAdd(red, 127.5, middle, dst=blue)
    full = np.greater(green, 254.5 + ROUNDING).view(np.uint8)
    zero = np.less(blue, 0.5 - ROUNDING).view(np.uint8)
    return np.asarray(zero + full * np.uint8(FULL), np.uint8)


def _fill(out: Matte, cells: Cells, rows: int) -> Iterator[Rectangle]:
    """Write the decided pixels that are 255, and return rectangles of `rows` rows that cover all undecided ones."""
    height, width = out.shape
    cell_of_row, cell_of_column = _cell_of(height, cells.shape[0]), _cell_of(width, cells.shape[1])
    tops = np.arange(0, height, rows)
    tops[-1] = height - rows  # the last strip overlaps the one before
    first, last = cell_of_row[tops], cell_of_row[tops + rows - 1]
    strips, starts, ends = _runs(_undecided_columns(cells, first, last))
    pixel_of_cell = np.searchsorted(cell_of_column, np.arange(cells.shape[1] + 1))
    runs: list[list[tuple[int, int]]] = [[] for _ in tops]
    for strip, left, right in zip(
        strips.tolist(), pixel_of_cell[starts].tolist(), pixel_of_cell[ends].tolist(), strict=True
    ):
        joins = runs[strip] and left - runs[strip][-1][1] <= JOINED_PIXELS
        runs[strip].append((runs[strip].pop()[0] if joins else left, right))
    for top, row, spans in zip(tops.tolist(), first.tolist(), runs, strict=True):
        # Between two runs nothing changes: cells that touch share a point, so one is not 0 while the other is 255.
        for start, end in zip([0, *(right for _, right in spans)], [*(left for left, _ in spans), width], strict=True):
            if start < end and cells[row, cell_of_column[start]] == FULL:
                out[top : top + rows, start:end] = 255
        yield from (Rectangle(top, left, right) for left, right in spans if left < right)


def _cell_of(pixels: int, cells: int) -> NDArray[np.intp]:
    """Return the cell that the centre of each pixel lies in, along one axis."""
    return np.asarray((np.arange(pixels) + 0.5) * ((cells - 1) / pixels) + 0.5, np.intp)


def _undecided_columns(cells: Cells, first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return for each strip, which reaches from cell row `first` to `last`, the columns with an undecided cell as 1.

    The first column is at index 1, and there are zeros on either side.
    """
    rows, columns = cells.shape
    undecided = np.zeros((rows + 1, (columns + 2 + 7) // 8 * 8), np.uint8)
    np.equal(cells, UNDECIDED, out=undecided[:rows, 1 : columns + 1].view(np.bool_))
    bounds = np.stack([first, last + 1], axis=1).ravel()
    joined = np.bitwise_or.reduceat(undecided.view(np.uint64), bounds, axis=0)[::2]  # eight columns at a time
    return joined.view(np.uint8)


def _runs(columns: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the strip, the first cell and the end (exclusive) of each run of ones, in order."""
    changes = np.flatnonzero(np.diff(columns.ravel()))
    strips, starts = np.divmod(changes[::2], columns.shape[1])
    return strips, starts, changes[1::2] % columns.shape[1]


class _Buffer:
    """Collects rectangles side by side, and computes them once it is full."""

    def __init__(self, coefficients: Floats, pixels: Pixels, out: Matte) -> None:
        height, width = out.shape
        self._coefficients, self._pixels, self._out = coefficients, pixels, out
        self._rows = rows = min(ROWS, height)
        self._columns = columns = BUFFER_PIXELS // rows
        self._held: list[tuple[int, int, int, int]] = []  # the column of the buffer, and the rectangle
        self._used = 0
        self._x_step, self._y_step = coefficients.shape[1] / width, coefficients.shape[0] / height
        self._to_coefficients = np.array([[self._x_step, 0, 0], [0, self._y_step, 0]])
        self._lines = np.zeros((rows, columns, 4), np.float32)
        self._colours = np.zeros((rows, columns, 3), np.uint8)
        self._result = np.empty((rows, columns), np.uint8)
        self._terms = _planes(4, rows * columns, np.float32)
        self._colour_planes = _planes(3, rows * columns, np.uint8)

    def add(self, rectangle: Rectangle) -> None:
        top, left, right = rectangle
        while left < right:
            end = min(right, left + self._columns - self._used)
            self._take(top, left, end)
            left = end
            if self._used == self._columns:
                self.compute()

    def _take(self, top: int, left: int, right: int) -> None:
        """Interpolate the coefficients and copy the colours."""
        used, width, rows = self._used, right - left, self._rows
        matrix = self._to_coefficients
        matrix[0, 2], matrix[1, 2] = (left + 0.5) * self._x_step - 0.5, (top + 0.5) * self._y_step - 0.5
        cv2.warpAffine(
            self._coefficients,
            matrix,
            (width, rows),
            dst=self._lines[:, used : used + width],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        self._colours[:, used : used + width] = self._pixels[top : top + rows, left:right]
        self._held.append((used, top, left, right))
        self._used += width

    def compute(self) -> None:
        """Compute what was taken, write it to its place, and start anew."""
        if not self._held:
            return
        terms, colours, shape = self._terms, self._colour_planes, self._result.shape
        red, green, blue, intercept = (plane.reshape(shape) for plane in terms)
        cv2.split(self._lines, [red, green, blue, intercept])
        cv2.split(self._colours, [plane.reshape(shape) for plane in colours])
        cv2.multiply(terms[:3], colours, dst=terms[:3], dtype=cv2.CV_32F)
        cv2.add(terms[0::2], terms[1::2], dst=terms[0::2])  # red and green; blue and the intercept
        cv2.add(red, blue, dst=self._result, dtype=cv2.CV_8U)  # rounded, then saturated
        for at, top, left, right in self._held:
            self._out[top : top + self._rows, left:right] = self._result[:, at : at + right - left]
        self._held.clear()
        self._used = 0


def _planes(count: int, size: int, kind: type[np.generic]) -> NDArray[Any]:
    """Return buffers for `cv2.split`, count × size, each shifted by 16 bytes against the one before.

    When all begin at multiples of a vector's length, OpenCV writes past the caches, and whoever reads next waits for
    memory: that takes five times as long as the whole split.
    """
    item = np.dtype(kind).itemsize
    padded = (-(-size * item // 64) * 64 + 16) // item
    return np.empty((count, padded), kind)[:, :size]
