"""Illumination histogram consistency: whether the subject is lit like its surroundings, after arXiv 2405.09716."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.transform import downscale_local_mean

from cutstream.images import Matte, Pixels
from cutstream.quality import Mask, subject

WORKING_SIDE = 256  # light changes slowly, so a small image is enough
SMOOTHING = 0.015  # σ as a share of the long side
SURROUNDINGS = 0.1  # distance that they reach from the subject, as a share of the long side
BINS = 32


def illumination_consistency(pixels: Pixels, matte: Matte) -> float | None:
    """Return the intersection of the illumination histograms of the subject and of its surroundings, 0..1.

    Illumination is that of Retinex: the brightest channel, smoothed. The paper's IHC compares histograms with their
    mean and is between 1 and 2 for two histograms. This is IHC - 1, which equals their intersection. The result is None
    if the matte has no subject or no surroundings.
    """
    step = max(1, max(matte.shape) // WORKING_SIDE)
    light = _reduced(pixels.max(axis=2), step)
    inside: Mask = _reduced(subject(matte), step) >= 0.5
    if inside.all() or not inside.any():
        return None
    reach = SURROUNDINGS * max(light.shape)
    around: Mask = ~inside & (distance_transform_edt(~inside) <= max(reach, 1))
    smooth = gaussian_filter(light, SMOOTHING * max(light.shape), mode="nearest")
    return float(np.minimum(_histogram(smooth[inside]), _histogram(smooth[around])).sum())


def _reduced(values: NDArray[np.generic], step: int) -> NDArray[np.float64]:
    """Average blocks of `step` × `step`. Incomplete blocks at the right and at the bottom are dropped."""
    rows, columns = (max(1, side // step) * step for side in values.shape)
    small: NDArray[np.float64] = downscale_local_mean(values[:rows, :columns].astype(np.float64), (step, step))
    return small


def _histogram(values: NDArray[np.float64]) -> NDArray[np.float64]:
    counts, _ = np.histogram(values, BINS, (0, 256))
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares
