"""`ArrayOps.local_linear`, computed only where the result can be anything else than 0 or 255.

Far from the subject's edge the coefficients leave a pixel no choice: whatever its colour, the sum saturates. In real
photos that is three quarters of all pixels.

A cell is what lies between neighbouring points of the grid. Cell (i, j) lies between the points i - 1 and i, and j - 1
and j; a point beyond the border is as the nearest one.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.compiled.machine_code import compiled, inner

Array: TypeAlias = NDArray[Any]
Index: TypeAlias = Any  # an integer of Python or NumPy

HALF, FULL = np.float32(0.5), np.float32(255)
ROUNDING = np.float32(0.25)  # float32 is off by far less, even where slopes of 10,000 cancel out
ZERO_BELOW, FULL_ABOVE = HALF - ROUNDING, FULL - HALF + ROUNDING
ALL_ZERO, UNDECIDED, ALL_FULL = 0, 1, 2


def _local_linear(coefficients: Array, pixels: Array, out: Array) -> None:
    """Write to `out` (u8 H × W, zeros) what `ops.py` says. `pixels` is u8 H × 3·W."""
    rows, columns = coefficients.shape[:2]
    height, width = out.shape
    cell_of_row, down = _places(height, rows)
    cell_of_column, across = _places(width, columns)
    first_pixel = np.searchsorted(cell_of_column, np.arange(columns + 2).astype(np.uint32))
    low, high = _bounds(coefficients)
    line = np.empty(8 * (columns + 2), np.float32)
    starts, ends = np.empty(columns + 1, np.uint32), np.empty(columns + 1, np.uint32)
    kinds = np.empty(columns + 1, np.uint8)
    runs, runs_of = 0, np.int64(-1)
    for y in range(height):
        cell: Index = np.int64(cell_of_row[y])
        above, below = max(cell - 1, 0), min(cell, rows - 1)
        if cell != runs_of:
            runs, runs_of = _find_runs(low, high, above, below, starts, ends, kinds), cell
        for run in range(runs):
            start, end = np.int64(starts[run]), np.int64(ends[run])
            left, right = first_pixel[start], first_pixel[end]
            if kinds[run] == ALL_FULL:
                out[y, left:right] = 255
            else:
                _interpolate(coefficients[above], coefficients[below], down[y], start, end, line)
                _compute(pixels[y], cell_of_column, across, line, left, right, out[y])


@inner
def _places(pixels: int, points: int) -> tuple[Array, Array]:
    """Return along one axis the cell that each pixel's centre lies in, and its distance from the point before, 0..1."""
    cells, shares = np.empty(pixels, np.uint32), np.empty(pixels, np.float32)
    for pixel in range(pixels):
        at = (pixel + 0.5) * points / pixels - 0.5
        before = np.floor(at)
        cells[pixel] = np.int64(before) + 1
        shares[pixel] = at - before
    return cells, shares


@inner
def _bounds(coefficients: Array) -> tuple[Array, Array]:
    """Return the least and the greatest sum at each point, over all colours: rows × (columns + 2), with both borders.

    Interpolation is a weighted mean of points, and so are its bounds.
    """
    rows, columns = coefficients.shape[:2]
    low, high = np.empty((rows, columns + 2), np.float32), np.empty((rows, columns + 2), np.float32)
    for row in range(rows):
        for column in range(columns):
            least = greatest = coefficients[row, column, 3]
            for channel in range(3):
                most = coefficients[row, column, channel] * FULL
                least += min(most, np.float32(0))
                greatest += max(most, np.float32(0))
            low[row, column + 1], high[row, column + 1] = least, greatest
        for bounds in (low, high):
            bounds[row, 0], bounds[row, columns + 1] = bounds[row, 1], bounds[row, columns]
    return low, high


@inner
def _find_runs(low: Array, high: Array, above: Index, below: Index, starts: Array, ends: Array, kinds: Array) -> int:
    """Find the runs of neighbouring cells of one kind, in a row of cells. Those that are all 0 are left out."""
    runs, before = 0, ALL_ZERO
    for cell in range(low.shape[1] - 1):
        least = min(min(low[above, cell], low[above, cell + 1]), min(low[below, cell], low[below, cell + 1]))
        greatest = max(max(high[above, cell], high[above, cell + 1]), max(high[below, cell], high[below, cell + 1]))
        kind = ALL_FULL if least > FULL_ABOVE else ALL_ZERO if greatest < ZERO_BELOW else UNDECIDED
        if kind != ALL_ZERO:
            if kind != before:
                starts[runs], kinds[runs] = cell, kind
                runs += 1
            ends[runs - 1] = cell + 1
        before = kind
    return runs


@inner
def _interpolate(above: Array, below: Array, share: np.float32, start: Index, end: Index, line: Array) -> None:
    """Write for each cell of a run the four coefficients at its left, and their change to its right."""
    columns = len(above)
    for cell in range(start, end + 1):
        column = min(max(cell - 1, 0), columns - 1)
        for term in range(4):
            line[8 * cell + term] = above[column, term] + (below[column, term] - above[column, term]) * share
    for at in range(8 * start, 8 * end, 8):
        for term in range(4):
            line[at + 4 + term] = line[at + 8 + term] - line[at + term]


@inner
def _compute(pixels: Array, cells: Array, shares: Array, line: Array, left: Index, right: Index, out: Array) -> None:
    for x in range(max(left, 0), right):  # `max` tells the compiler that no index is negative
        at, share, colour = 8 * np.int64(cells[x]), shares[x], 3 * x
        alpha = np.float32(pixels[colour]) * (line[at] + line[at + 4] * share)
        alpha += np.float32(pixels[colour + 1]) * (line[at + 1] + line[at + 5] * share)
        alpha += np.float32(pixels[colour + 2]) * (line[at + 2] + line[at + 6] * share)
        alpha += line[at + 3] + line[at + 7] * share
        out[x] = np.uint8(min(max(np.rint(alpha), np.float32(0)), FULL))


local_linear = compiled(
    _local_linear,
    "void(Array(float32, 3, 'C', readonly=True), Array(uint8, 2, 'C', readonly=True), uint8[:,::1])",
)
