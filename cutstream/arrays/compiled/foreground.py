"""`ArrayOps.foreground_sweep` and `foreground_solve`. Samples are those of pixels: three in a row for each.

Loops over samples are short and take few arrays each: only then does the compiler process several samples at once.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.compiled.machine_code import compiled, inner

Array: TypeAlias = NDArray[Any]

CHANNELS = 3
FULL = np.float32(255)


def _foreground_sweep(
    pixels: Array, alpha: Array, foreground: Array, background: Array, times: int, regularisation: np.float32
) -> None:
    """Move `foreground` and `background` (f32 h × 3·w) on by `times` sweeps. `pixels` is u8 h × 3·w."""
    rows, samples = pixels.shape
    photo, share = pixels.astype(np.float32), np.empty((rows, samples), np.float32)
    to_foreground, to_background = np.empty_like(share), np.empty_like(share)
    for row in range(rows):
        for column in range(alpha.shape[1]):
            one = np.float32(alpha[row, column]) * np.float32(1 / 255)
            rest = np.float32(1) - one
            scale = one * one + rest * rest + regularisation
            for at in range(CHANNELS * column, CHANNELS * (column + 1)):
                share[row, at], to_foreground[row, at], to_background[row, at] = one, one / scale, rest / scale
    padded = np.empty(samples + 2 * CHANNELS, np.float32)
    front, behind, error = np.empty(samples, np.float32), np.empty(samples, np.float32), np.empty(samples, np.float32)
    source, source_behind = foreground, background
    target, target_behind = np.empty_like(foreground), np.empty_like(background)
    for _ in range(times):
        for row in range(rows):
            _average(source, row, padded, front)
            _average(source_behind, row, padded, behind)
            _find_error(photo[row], share[row], front, behind, error)
            _correct(front, to_foreground[row], error, target[row])
            _correct(behind, to_background[row], error, target_behind[row])
        source, target = target, source
        source_behind, target_behind = target_behind, source_behind
    if times % 2:
        foreground[:], background[:] = source, source_behind


@inner
def _average(colours: Array, row: int, padded: Array, out: Array) -> None:
    """Average 3 × 3 pixels around those of a row; the border is replicated."""
    rows, samples = colours.shape
    above, here, below = colours[max(row - 1, 0)], colours[row], colours[min(row + 1, rows - 1)]
    for at in range(samples):
        padded[CHANNELS + at] = above[at] + here[at] + below[at]
    for at in range(CHANNELS):
        padded[at] = padded[CHANNELS + at]
        padded[CHANNELS + samples + at] = padded[samples + at]
    for at in range(samples):
        out[at] = (padded[at] + padded[at + CHANNELS] + padded[at + 2 * CHANNELS]) * np.float32(1 / 9)


@inner
def _find_error(photo: Array, share: Array, front: Array, behind: Array, error: Array) -> None:
    for at in range(len(error)):
        error[at] = photo[at] - behind[at] - share[at] * (front[at] - behind[at])


@inner
def _correct(mean: Array, gain: Array, error: Array, out: Array) -> None:
    for at in range(len(out)):
        out[at] = min(max(mean[at] + gain[at] * error[at], np.float32(0)), FULL)


def _foreground_solve(
    pixels: Array, alpha: Array, foreground: Array, background: Array, regularisation: np.float32, out: Array
) -> None:
    """Write to `out` (u8 H × 3·W, a copy of `pixels`) the colours of the pixels between 0 and 255.

    `foreground` and `background` are f32 h × 3·w.
    """
    height, width = alpha.shape
    rows, samples = foreground.shape
    above, below, down = _neighbours(height, rows)
    before, after, across = _neighbours(width, samples // CHANNELS)
    for y in range(height):
        top, bottom = above[y], below[y]
        for x in range(width):
            if alpha[y, x] == 0 or alpha[y, x] == 255:
                continue
            share = np.float32(alpha[y, x]) * np.float32(1 / 255)
            rest = np.float32(1) - share
            gain = share / (share * share + rest * rest + regularisation)
            for channel in range(CHANNELS):
                left, right = CHANNELS * before[x] + channel, CHANNELS * after[x] + channel
                front = _interpolated(foreground[top], foreground[bottom], left, right, down[y], across[x])
                behind = _interpolated(background[top], background[bottom], left, right, down[y], across[x])
                error = np.float32(pixels[y, CHANNELS * x + channel]) - behind - share * (front - behind)
                solved = np.rint(front + gain * error)
                out[y, CHANNELS * x + channel] = np.uint8(min(max(solved, np.float32(0)), FULL))


@inner
def _neighbours(pixels: int, points: int) -> tuple[Array, Array, Array]:
    """Return the two points of a grid that each pixel lies between, along one axis, and its distance from the first."""
    before, after, shares = np.empty(pixels, np.uint32), np.empty(pixels, np.uint32), np.empty(pixels, np.float32)
    for pixel in range(pixels):
        at = (pixel + 0.5) * points / pixels - 0.5
        first = int(np.floor(at))
        before[pixel], after[pixel], shares[pixel] = max(first, 0), min(first + 1, points - 1), at - first
    return before, after, shares


@inner
def _interpolated(above: Array, below: Array, left: int, right: int, down: np.float32, across: np.float32) -> Any:
    before = above[left] + (below[left] - above[left]) * down
    after = above[right] + (below[right] - above[right]) * down
    return before + (after - before) * across


foreground_sweep = compiled(
    _foreground_sweep,
    "void(Array(uint8, 2, 'C', readonly=True), Array(uint8, 2, 'C', readonly=True), float32[:,::1], float32[:,::1], "
    "int64, float32)",
)
foreground_solve = compiled(
    _foreground_solve,
    "void(Array(uint8, 2, 'C', readonly=True), Array(uint8, 2, 'C', readonly=True), "
    "Array(float32, 2, 'C', readonly=True), Array(float32, 2, 'C', readonly=True), float32, uint8[:,::1])",
)
