"""Decide that a photo has no subject: networks find something even on a white wall.

There are three kinds of evidence, each with a wide gap between photos and pictures of nothing. The figures are of 4,870
photos of people, animals, goods and streets, and of 107 pictures without a subject
(`tests/support/pictures/nothing.py`), at cutnet's input size:

* *No edge*: neighbouring pixels differ by at most 4 levels everywhere. That is a wall, a sky, any smooth gradient. The
  faintest of 145 photos has an edge of 45 levels.
* *One pattern everywhere*: all rows are alike, or all columns (a strip of one pixel, stripes, a horizon); noise, whose
  pixels are unrelated over a 25th of the side; a repetition, such as a chessboard.
* *A network that is sure of nothing*: only for networks whose catalogue entry states `min_sure_share`, because it
  depends on how a network was trained. Of what it sees at all (above 50), cutnet is sure (above 240) of 80 % in the
  median photo and of 7.5 % in the least sure one of the 145. On grass, gravel, brick, text and the moon it is 1.6 % at
  most.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.images import Matte, Pixels

Doubles: TypeAlias = NDArray[np.float64]

SEEN, SURE = 50, 240  # the values above which a network sees something, and above which it is sure

WORKING_SIDE = 320  # larger inputs are sampled at about this size: edges are as steep as the size is small
MAX_STEP = 4  # levels: smooth gradients have 1 to 3, photos from 45
MAX_REST = 2.0  # levels of deviation from a picture whose rows (or columns) are all alike: photos have from 14
MAX_NOISE = 0.22  # correlation of brightness or tint over a 25th of the side: noise has 0.02, photos have from 0.26
MIN_REPETITION = 0.96  # correlation at the period: chessboards have 0.97 to 1, photos up to 0.86


def has_subject(pixels: Pixels, matte: Matte, min_sure_share: float | None, region_is_given: bool) -> bool:
    """Tell whether a matte can be of a subject.

    `pixels` (u8 HWC) are what the network saw, `matte` (u8 HW) what it made of that. Both are in host memory, where
    they travel to Triton and back. A requester who gives a region knows of something in it: then only a picture
    without any edge has no subject.
    """
    sampled = _sample(pixels)
    if not has_edge(sampled):
        return False
    if region_is_given:
        return True
    if min_sure_share is not None and sure_share(matte) < min_sure_share:
        return False
    return not is_pattern(sampled)


def sure_share(matte: Matte) -> float:
    """Return the share of what a network sees at all (above 50) that it is sure of (above 240), 0..1."""
    seen = np.count_nonzero(matte > SEEN)
    return np.count_nonzero(matte > SURE) / seen if seen else 0.0


def has_edge(pixels: Pixels) -> bool:
    """Tell whether any two neighbours of u8 HWC differ by more than MAX_STEP in a channel."""
    lines = pixels[len(pixels) // 2 :][:1]  # the middle row has an edge in most photos, and is looked at first
    pairs = ((lines[:, 1:], lines[:, :-1]), (pixels[1:], pixels[:-1]), (pixels[:, 1:], pixels[:, :-1]))
    return any(bool((np.maximum(one, other) - np.minimum(one, other) > MAX_STEP).any()) for one, other in pairs)


def is_pattern(pixels: Pixels) -> bool:
    """Tell whether u8 HWC varies in one direction only, is noise, or repeats itself all over."""
    # No finer pixel is needed, and it takes a quarter of the time; plane by plane, half of that.
    red, green, blue = colours = np.ascontiguousarray(pixels[::2, ::2].transpose(2, 0, 1)).astype(np.float64)
    if _least_rest(colours) < MAX_REST:
        return True
    grey = _without_slope((red + green + blue) / 3)
    across, down = _autocorrelation(grey), _autocorrelation(grey.T)
    if max(_repetition(across), _repetition(down)) > MIN_REPETITION:
        return True
    nearby = max(_nearby(across), _nearby(down))
    if nearby < MAX_NOISE:
        tint = _without_slope(red - blue)
        if tint.std() > MAX_REST:  # a dress with a fine print, on a carpet of another colour
            nearby = max(nearby, _nearby(_autocorrelation(tint)), _nearby(_autocorrelation(tint.T)))
    return nearby < MAX_NOISE


def _sample(pixels: Pixels) -> Pixels:
    step = max(1, round(max(pixels.shape[:2]) / WORKING_SIDE))
    return pixels[::step, ::step]


def _least_rest(colours: Doubles) -> float:
    """Return the standard deviation of CHW from a picture whose rows, or whose columns, are alike: the smaller one."""
    squares = np.einsum("kij,kij->k", colours, colours) / colours[0].size
    alike = min(float((squares - np.square(colours.mean(axis=axis)).mean(axis=1)).max()) for axis in (1, 2))
    return math.sqrt(max(0.0, alike))


def _without_slope(plane: Doubles) -> Doubles:
    """Remove the best plane: what noise lies on, such as a gradient, relates all of its pixels."""
    height, width = plane.shape
    rest: Doubles = plane - plane.mean()
    for ramp in (np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]):
        rest -= (rest * ramp).mean() / np.square(ramp).mean() * ramp
    return rest


def _autocorrelation(plane: Doubles) -> Doubles:
    """Return the correlation of rows with themselves, moved by 0 to half of their length; every second row counts."""
    rows = plane[::2] - plane[::2].mean()
    length = rows.shape[1]
    moves = np.arange(length // 2 + 1)
    spectrum = np.square(np.abs(np.fft.rfft(rows, 2 * length, axis=1))).sum(axis=0)
    products = np.fft.irfft(spectrum, 2 * length)[moves]
    energy = np.concatenate([[0.0], np.cumsum(np.square(rows).sum(axis=0, dtype=np.float64))])
    overlapping = energy[length - moves] + energy[-1] - energy[moves]
    return 2 * products / np.maximum(overlapping, 1e-6)  # type: ignore[no-any-return]


def _nearby(correlation: Doubles) -> float:
    """Return the correlation over a 25th of the side."""
    return float(correlation[round(len(correlation) / 12.5)])


def _repetition(correlation: Doubles) -> float:
    """Return the highest correlation behind the first move at which it falls below one half; 0 if it never does."""
    unlike = np.flatnonzero(correlation < 0.5)
    return float(correlation[unlike[0] :].max()) if len(unlike) else 0.0
