"""Measures of a matte's edge that need no true matte: its sharpness, and the noise of a composite along it."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel
from skimage.restoration import estimate_sigma

from cutstream.images import Matte, Pixels
from cutstream.quality import subject
from cutstream.quality.contour import inner, outer

TILE_PX = 16
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def sharpness(matte: Matte) -> float | None:
    """Return the boundary sharpness coefficient: the mean of |G| over the pixels on both sides of the contour, 0..1.

    G is the Sobel gradient of alpha, scaled so that a hard straight step from 0 to 1 is 1. Steeper corners are clipped
    to 1. The result is None without a contour.
    """
    mask = subject(matte)
    edge = inner(mask) | outer(mask)
    if not edge.any():
        return None
    alpha = matte.astype(np.float32) / 255
    gradient = np.hypot(sobel(alpha, axis=0, mode="nearest"), sobel(alpha, axis=1, mode="nearest")) / 4
    return float(np.minimum(gradient[edge], 1).mean())


def noise_sigma(pixels: Pixels, matte: Matte) -> float | None:
    """Return the standard deviation of the noise, in grey levels, along the edge of the subject on white.

    It is the median of scikit-image's wavelet estimates over the 16×16 tiles that contain subject and background. A
    flat tile counts as 0. Incomplete tiles at the right and at the bottom are left out. The result is None if there is
    no such tile.
    """
    masks = _tiles(subject(matte))
    crossed = masks.any(axis=(1, 2)) & ~masks.all(axis=(1, 2))
    if not crossed.any():
        return None
    alpha = matte.astype(np.float32) / 255
    composite = _tiles(alpha * (pixels @ LUMINANCE) + (1 - alpha) * 255)[crossed]
    with warnings.catch_warnings():
        # The estimate leaves out coefficients that are zero. Nothing is left of a flat tile, and NumPy warns.
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
        estimates = estimate_sigma(np.moveaxis(composite, 0, -1), channel_axis=-1)
    return float(np.median(np.nan_to_num(estimates)))


def _tiles(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Cut H×W into tiles [n, 16, 16]."""
    rows, columns = values.shape[0] // TILE_PX, values.shape[1] // TILE_PX
    whole = values[: rows * TILE_PX, : columns * TILE_PX]
    return whole.reshape(rows, TILE_PX, columns, TILE_PX).swapaxes(1, 2).reshape(-1, TILE_PX, TILE_PX)
