from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte
from cutstream.matting.geometry import Box

VISIBLE = 25  # a tenth: fainter alpha does not make the subject's box wider


@dataclass(frozen=True, slots=True)
class Measurement:
    """`coverage`: mean alpha, 0..1. `uncertainty`: 0 (sure) to 1 (guessing).

    Uncertainty is one minus the Soft Dice Confidence (Borges et al. 2024, arXiv:2402.10665): the Dice overlap of the
    matte with its own threshold, which is what the matte itself promises its mask to reach. It does not depend on the
    subject's size. A matte without any alpha is certain; one that stays below the threshold everywhere is guessing.
    """

    box: Box | None
    coverage: float
    uncertainty: float


def measure(matte: Matte, ops: ArrayOps) -> Measurement:
    counts = ops.histogram(matte)
    bounds = ops.bounds(matte, VISIBLE)
    coverage = float(counts @ np.arange(256) / (255 * counts.sum()))
    return Measurement(Box(*bounds) if bounds else None, coverage, _uncertainty(counts))


def _uncertainty(counts: NDArray[np.int64]) -> float:
    alpha = np.arange(256) / 255
    chosen = alpha >= 0.5
    either = counts @ (alpha + chosen)
    return float(1 - 2 * (counts @ (alpha * chosen)) / either) if either else 0.0
