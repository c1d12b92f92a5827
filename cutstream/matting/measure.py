"""Measure a matte: the subject's box, its share of the image, and how certain the network was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte
from cutstream.images.geometry import Box

VISIBLE = 25  # a tenth: fainter alpha does not widen the subject's box


@dataclass(frozen=True, slots=True)
class Measurement:
    """The visible subject's box, None if there is no subject; and `coverage`, the mean alpha in 0..1."""

    box: Box | None
    coverage: float


def measure(matte: Matte, ops: ArrayOps) -> Measurement:
    coverage = ops.total(matte) / (255 * matte.size)
    bounds = ops.bounding_box(matte, VISIBLE)
    return Measurement(Box(*bounds) if bounds else None, coverage)


def uncertainty(matte: Matte, ops: ArrayOps) -> float:
    """Return how undecided a matte is, from 0 (sure) to 1 (guessing).

    The matte must be the network's own: refinement may make it binary, which says nothing. The value is one minus the
    Soft Dice Confidence (Borges et al. 2024, arXiv:2402.10665): the Dice overlap of the matte with its own threshold,
    which is the overlap that the matte itself expects its mask to reach. It does not depend on the subject's size. A
    matte without any alpha is certain; one that stays below the threshold everywhere is guessing.
    """
    counts = ops.histogram(matte)
    alpha = np.arange(256) / 255
    chosen = alpha >= 0.5
    either = counts @ (alpha + chosen)
    return float(1 - 2 * (counts @ (alpha * chosen)) / either) if either else 0.0
