"""`ArrayOps.fit_colours`: sums over windows, the fit in each window, and the means of the fits over windows."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.compiled.machine_code import compiled, inner

Array: TypeAlias = NDArray[Any]

COLUMNS = 128  # solved at a time: a constant distance between the moments lets the compiler take several at once
MOMENTS = 13  # four means, and the means of the products below
# Of the planes red, green, blue and alpha.
PRODUCTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (0, 3), (1, 3), (2, 3))


def _fit_colours(guide: Array, matte: Array, width: int, height: int, noise: np.float32, out: Array) -> None:
    """Write to `out` (f32 h × w × 4) what `ops.py` says. `guide` is u8 h × 3·w.

    Sums are whole numbers of 32 bits, and so exact: a window may have up to 33,000 pixels.
    """
    rows, columns = matte.shape
    planes = _split(guide, matte)
    nothing = np.zeros((4, columns), np.int32)
    sums, within = np.zeros((MOMENTS, columns), np.int32), np.empty((MOMENTS, columns), np.int32)
    padded = np.empty(columns + width - 1, np.int32)
    moments, solved = np.ones(MOMENTS * COLUMNS, np.float32), np.empty(4 * COLUMNS, np.float32)
    lines = np.empty((rows, 4, columns), np.float32)
    share = np.float32(1 / (width * height))
    for row in range(1 - height, rows):  # first the sums of the window above row 0, all but its last row
        entering = planes[_mirrored(row + height // 2, rows)]
        leaving = planes[_mirrored(row - height // 2 - 1, rows)] if row > 0 else nothing
        _move(sums, entering, leaving)
        if row < 0:
            continue
        for moment in range(MOMENTS):
            _sum_windows(sums[moment], width, padded, within[moment])
        for left in range(0, columns, COLUMNS):
            count = min(COLUMNS, columns - left)
            for moment in range(MOMENTS):
                for at in range(count):
                    moments[moment * COLUMNS + at] = np.float32(within[moment, left + at]) * share
            _solve(moments, noise, solved)
            for term in range(4):
                lines[row, term, left : left + count] = solved[term * COLUMNS : term * COLUMNS + count]
    _average(lines, width, height, share, out)


@inner
def _split(guide: Array, matte: Array) -> Array:
    rows, columns = matte.shape
    planes = np.empty((rows, 4, columns), np.int32)
    for row in range(rows):
        for column in range(columns):
            for channel in range(3):
                planes[row, channel, column] = guide[row, 3 * column + channel]
            planes[row, 3, column] = matte[row, column]
    return planes


@inner
def _move(sums: Array, entering: Array, leaving: Array) -> None:
    """Move the sums over columns of a window down by a row."""
    for plane in range(4):
        for column in range(sums.shape[1]):
            sums[plane, column] += entering[plane, column] - leaving[plane, column]
    moment = 4
    for one, other in PRODUCTS:
        total, a, b, c, d = sums[moment], entering[one], entering[other], leaving[one], leaving[other]
        for column in range(len(total)):
            total[column] = np.int32(total[column] + np.int32(a[column] * b[column]) - np.int32(c[column] * d[column]))
        moment += 1


@inner
def _sum_windows(line: Array, width: int, padded: Array, out: Array) -> None:
    """Sum `width` neighbours. `padded` is scratch, longer than the line by width - 1."""
    length, radius = len(line), width // 2
    for at in range(length):
        padded[radius + at] = line[at]
    for at in range(radius):
        padded[at] = line[_mirrored(at - radius, length)]
        padded[radius + length + at] = line[_mirrored(length + at, length)]
    for at in range(length):
        out[at] = padded[at]
    for move in range(1, width):
        for at in range(length):
            out[at] = out[at] + padded[at + move]


@inner
def _solve(moments: Array, noise: np.float32, out: Array) -> None:
    """Solve the symmetric 3 × 3 systems by elimination: in float32, cofactors cancel on grey photos."""
    for at in range(COLUMNS):
        red, green, blue = moments[at], moments[COLUMNS + at], moments[2 * COLUMNS + at]
        alpha = moments[3 * COLUMNS + at]
        rr = moments[4 * COLUMNS + at] - red * red + noise
        rg = moments[5 * COLUMNS + at] - red * green
        rb = moments[6 * COLUMNS + at] - red * blue
        gg = moments[7 * COLUMNS + at] - green * green + noise
        gb = moments[8 * COLUMNS + at] - green * blue
        bb = moments[9 * COLUMNS + at] - blue * blue + noise
        ra = moments[10 * COLUMNS + at] - red * alpha
        ga = moments[11 * COLUMNS + at] - green * alpha
        ba = moments[12 * COLUMNS + at] - blue * alpha
        ratio = rg / rr
        gg -= ratio * rg
        gb -= ratio * rb
        ga -= ratio * ra
        ratio = rb / rr
        bb -= ratio * rb
        ba -= ratio * ra
        ratio = gb / gg
        bb -= ratio * gb
        ba -= ratio * ga
        ba /= bb
        ga = (ga - gb * ba) / gg
        ra = (ra - rg * ga - rb * ba) / rr
        out[at], out[COLUMNS + at], out[2 * COLUMNS + at] = ra, ga, ba
        out[3 * COLUMNS + at] = alpha - ra * red - ga * green - ba * blue


@inner
def _average(lines: Array, width: int, height: int, share: np.float32, out: Array) -> None:
    rows, _, columns = lines.shape
    column_sums, within = np.empty(columns, np.float32), np.empty(columns, np.float32)
    padded = np.empty(columns + width - 1, np.float32)
    for row in range(rows):
        for term in range(4):
            column_sums[:] = 0
            for move in range(height):
                line = lines[_mirrored(row + move - height // 2, rows), term]
                for column in range(columns):
                    column_sums[column] = column_sums[column] + line[column]
            _sum_windows(column_sums, width, padded, within)
            for column in range(columns):
                out[row, column, term] = within[column] * share


@inner
def _mirrored(at: int, length: int) -> int:
    """Return the place that the border shows at a place outside (dcb|abcd|cba)."""
    if length == 1:
        return 0
    while at < 0 or at >= length:
        at = -at if at < 0 else 2 * (length - 1) - at
    return at


fit_colours = compiled(
    _fit_colours,
    "void(Array(uint8, 2, 'C', readonly=True), Array(uint8, 2, 'C', readonly=True), int64, int64, float32, "
    "float32[:,:,::1])",
)
