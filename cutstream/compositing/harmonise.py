"""A subject's light and colours, adapted to the picture that it is put on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import ArrayOps, Table
from cutstream.compositing.histogram_matching import matching
from cutstream.contract.messages import Request
from cutstream.contract.options import Harmonise, HarmoniseMethod
from cutstream.errors import InvalidOption
from cutstream.images import Matte, Pixels

Counts = list[NDArray[np.int64]]

SAMPLES = 100_000  # pixels that are counted, of a regular grid: the mean of millions is not another one
SOLID = 127
SPREADS = 0.5, 1.2  # how far a channel is narrowed or widened at most: from 1.5 on, grey cloth turns blue or green


def wanted_harmony(harmonise: HarmoniseMethod | Harmonise | None) -> Harmonise | None:
    return Harmonise(method=harmonise) if isinstance(harmonise, str) else harmonise


def check_harmonise(request: Request) -> None:
    """Raises `InvalidOption` where there is no picture whose light and colours could be taken."""
    if request.harmonise is not None and request.background.image is None and request.background.blur is None:
        raise InvalidOption("harmonise adapts the subject to a picture: set background.image or background.blur")


def harmonise(pixels: Pixels, alpha: Matte, background: Pixels, how: Harmonise, ops: ArrayOps) -> Pixels:
    """The photo (u8 HWC) with the colours of its subject (alpha, u8 HW) moved towards those of `background` (u8 HWC).

    At strength 0 the photo itself. Each channel changes by one table for all pixels, those around the subject as well;
    without a subject nothing does. The host waits for the histograms that the tables are made of.
    """
    if how.strength == 0:
        return pixels
    return {"reinhard": _reinhard, "histogram": _histogram}[how.method](pixels, alpha, background, how.strength, ops)


def _reinhard(pixels: Pixels, alpha: Matte, background: Pixels, strength: float, ops: ArrayOps) -> Pixels:
    """Mean and deviation of L, a and b (Reinhard, Ashikhmin, Gooch, Shirley 2001, there in lαβ).

    Lab of 8 bits is 48 to 52 dB from the formula (mean half a level, 99 % within 3), keeps half the distinct colours
    and so shows slightly in gradients without any noise. Float32 has 53 to 57 dB and takes 1.4 times as long, but
    OpenCV's is itself interpolated, up to 11 levels from the formula, where no device would follow it.
    """
    own = _of_subject(ops.to_lab(_sampled(pixels)), _sampled(alpha), ops)
    wanted = _of_all(ops.to_lab(_sampled(background)), ops)
    tables = [_shifting(*channel) for channel in zip(own, wanted, strict=True)]
    return ops.from_lab(ops.lookup(ops.to_lab(pixels), _weakened(tables, strength)))


def _histogram(pixels: Pixels, alpha: Matte, background: Pixels, strength: float, ops: ArrayOps) -> Pixels:
    """The whole distribution of red, green and blue."""
    own = _of_subject(_sampled(pixels), _sampled(alpha), ops)
    wanted = _of_all(_sampled(background), ops)
    tables = [matching(*channel) for channel in zip(own, wanted, strict=True)]
    return ops.lookup(pixels, _weakened(tables, strength))


def _shifting(counts: NDArray[np.int64], reference: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gives a channel with `counts` the mean of `reference`, and its deviation within `SPREADS`."""
    if not counts.any():
        return np.arange(256.0)
    mean, deviation = _moments(counts)
    wanted_mean, wanted_deviation = _moments(reference)
    ratio = np.clip(wanted_deviation / deviation, *SPREADS) if deviation else 1.0
    return wanted_mean + (np.arange(256) - mean) * ratio


def _moments(counts: NDArray[np.int64]) -> tuple[float, float]:
    values, total = np.arange(256), counts.sum()
    mean = float(counts @ values / total)
    return mean, math.sqrt(float(counts @ (values - mean) ** 2 / total))


def _weakened(tables: list[NDArray[np.float64]] | list[Table], strength: float) -> Table:
    """256 × 3: between what is there and what the tables say."""
    values = np.arange(256)[:, None]
    mixed = values + strength * (np.stack(tables, axis=-1, dtype=np.float64) - values)
    table: Table = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return table


def _of_all(pixels: Pixels, ops: ArrayOps) -> Counts:
    return [ops.histogram(pixels[..., channel]) for channel in range(3)]


def _of_subject(pixels: Pixels, alpha: Matte, ops: ArrayOps) -> Counts:
    """Of the pixels that are mostly subject: `rgba` makes the others 0, and as many zeros are taken off again."""
    solid = (alpha > SOLID).view(ops.xp.uint8) * ops.xp.uint8(255)
    counts = _of_all(ops.rgba(pixels, solid), ops)
    hidden = ops.histogram(solid)[0]
    for channel in counts:
        channel[0] -= hidden
    return counts


def _sampled(array: Pixels | Matte) -> Pixels | Matte:
    height, width = array.shape[:2]
    step = max(1, math.isqrt(height * width // SAMPLES))
    return array[::step, ::step]
