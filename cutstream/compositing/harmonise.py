"""Adapt a subject's light and colours to the image that it is put on."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import ArrayOps, Table
from cutstream.compositing.histogram_matching import matching_table
from cutstream.compositing.specs import HarmoniseSpec
from cutstream.images import Matte, Pixels

Counts: TypeAlias = NDArray[np.int64]  # 256 of a channel

SAMPLES = 100_000  # pixels of a regular grid that are counted: the mean of millions is no different
SOLID = 127  # alpha above which a pixel is mostly subject
# The least and the greatest change of a channel's deviation: from 1.5 on, grey cloth turns blue or green.
DEVIATION_RATIO = 0.5, 1.2


def harmonise(pixels: Pixels, alpha: Matte, background: Pixels, spec: HarmoniseSpec, ops: ArrayOps) -> Pixels:
    """Move the subject's colours in a photo (u8 HWC, alpha u8 HW) towards those of `background` (u8 HWC).

    Each channel changes by one table for all pixels, also those around the subject. At strength 0, or without a
    subject, nothing changes. The host waits for the histograms that the tables are made of.
    """
    if spec.strength == 0:
        return pixels
    match spec.method:
        case "reinhard":
            return _match_moments(pixels, alpha, background, spec.strength, ops)
        case "histogram":
            return _match_histograms(pixels, alpha, background, spec.strength, ops)


def _match_moments(pixels: Pixels, alpha: Matte, background: Pixels, strength: float, ops: ArrayOps) -> Pixels:
    """Match mean and deviation of L, a and b (Reinhard, Ashikhmin, Gooch, Shirley 2001, there in lαβ).

    Lab of 8 bits is 48 to 52 dB from the formula (mean half a level, 99 % within 3), keeps half the distinct colours
    and so shows slightly in gradients without any noise. Float32 has 53 to 57 dB and takes 1.4 times as long, but
    OpenCV's is itself interpolated, up to 11 levels from the formula, where no device would follow it.
    """
    own = _count_subject(ops.to_lab(_sample(pixels)), _sample(alpha), ops)
    wanted = _count_all(ops.to_lab(_sample(background)), ops)
    tables = [_moments_table(*channel) for channel in zip(own, wanted, strict=True)]
    return ops.from_lab(ops.lookup(ops.to_lab(pixels), _weaken(tables, strength)))


def _match_histograms(pixels: Pixels, alpha: Matte, background: Pixels, strength: float, ops: ArrayOps) -> Pixels:
    """Match the whole distribution of red, green and blue."""
    own = _count_subject(_sample(pixels), _sample(alpha), ops)
    wanted = _count_all(_sample(background), ops)
    tables = [matching_table(*channel) for channel in zip(own, wanted, strict=True)]
    return ops.lookup(pixels, _weaken(tables, strength))


def _moments_table(counts: Counts, reference: Counts) -> NDArray[np.float64]:
    """Return the table that gives a channel the mean of `reference`, and its deviation within `DEVIATION_RATIO`."""
    if not counts.any():
        return np.arange(256.0)
    mean, deviation = _moments(counts)
    wanted_mean, wanted_deviation = _moments(reference)
    ratio = np.clip(wanted_deviation / deviation, *DEVIATION_RATIO) if deviation else 1.0
    return wanted_mean + (np.arange(256) - mean) * ratio


def _moments(counts: Counts) -> tuple[float, float]:
    """Return mean and standard deviation."""
    values, total = np.arange(256), counts.sum()
    mean = float(counts @ values / total)
    return mean, math.sqrt(float(counts @ (values - mean) ** 2 / total))


def _weaken(tables: list[NDArray[np.float64]] | list[Table], strength: float) -> Table:
    """Mix the tables of three channels with no change at all; 256 × 3."""
    values = np.arange(256)[:, None]
    mixed = values + strength * (np.stack(tables, axis=-1, dtype=np.float64) - values)
    table: Table = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return table


def _count_all(pixels: Pixels, ops: ArrayOps) -> list[Counts]:
    return [ops.histogram(pixels[..., channel]) for channel in range(3)]


def _count_subject(pixels: Pixels, alpha: Matte, ops: ArrayOps) -> list[Counts]:
    """Count the pixels that are mostly subject: `rgba` makes all others 0, and that many zeros are subtracted."""
    solid = (alpha > SOLID).view(ops.xp.uint8) * ops.xp.uint8(255)
    counts = _count_all(ops.rgba(pixels, solid), ops)
    hidden = ops.histogram(solid)[0]
    for channel in counts:
        channel[0] -= hidden
    return counts


def _sample(array: Pixels | Matte) -> Pixels | Matte:
    height, width = array.shape[:2]
    step = max(1, math.isqrt(height * width // SAMPLES))
    return array[::step, ::step]
