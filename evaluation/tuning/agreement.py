"""Measure how well a contour follows the photo's own edges, for photos without a true mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_gradient_magnitude
from scipy.stats import rankdata

from cutstream.arrays.ops import ArrayOps, Floats
from cutstream.images import Matte, Pixels
from cutstream.quality import LONG_SIDE, subject
from cutstream.quality.contour import inner

SIGMA = 1.0
BAND_PX = 15  # half-width of the band around the network's contour, in pixels at a long side of 1000


def edge_ranks(pixels: Pixels, matte: Matte, ops: ArrayOps) -> Floats:
    """Rank the pixels in a band around the matte's contour by edge strength: f32 H×W, 0..1, 0 outside the band.

    A pixel's rank is the share of the band with weaker edges. Edge strength is the photo's gradient in the channel
    where it is steepest. Both arrays have the photo's size.
    """
    contour = inner(subject(matte))
    ranks = np.zeros(matte.shape, np.float32)
    band = ops.distance((~contour).view(np.uint8)) <= BAND_PX * max(matte.shape) / LONG_SIDE
    if contour.any():
        order = rankdata(_gradient(pixels)[band], "min") - 1
        ranks[band] = order / max(1, order.max())
    return ranks


def edge_agreement(ranks: Floats, matte: Matte) -> float:
    """Return the mean rank along the matte's contour, 0..1: about 0.5 by chance, 0 without a contour."""
    contour = inner(subject(matte))
    return float(ranks[contour].mean()) if contour.any() else 0.0


def _gradient(pixels: Pixels) -> NDArray[np.float32]:
    channels = np.moveaxis(pixels.astype(np.float32), -1, 0)
    steepest: NDArray[np.float32] = np.max([gaussian_gradient_magnitude(c, SIGMA) for c in channels], axis=0)
    return steepest
