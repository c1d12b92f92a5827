"""Differences in alpha between two mattes, soft edges included. All are 0 for equal mattes, even empty ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_gradient_magnitude

from cutstream.images import Matte

# The filter of the matting benchmark (Rhemann et al. 2009): σ 1.4, cut off at four pixels, derivatives of unit length.
SIGMA, RADIUS = 1.4, 4
UNIT_LENGTH = 8 * math.pi * SIGMA**4  # the inverse squared length of the derivative of a Gaussian


def mean_absolute_error(matte: Matte, truth: Matte) -> float:
    """Return the mean of |α - α*|, 0..1."""
    return float(_difference(matte, truth).mean() / 255)


def sum_of_absolute_differences(matte: Matte, truth: Matte) -> float:
    """Return the sum of |α - α*| in thousands, as in the matting benchmark. It grows with the size of the image."""
    return float(_difference(matte, truth).sum(dtype=np.int64) / 255 / 1000)


def gradient_error(matte: Matte, truth: Matte) -> float:
    """Return the sum of squared differences of gradient magnitudes in thousands, as in the matting benchmark."""
    difference = _gradient(matte) - _gradient(truth)
    return float(np.sum(difference * difference, dtype=np.float64) * UNIT_LENGTH / 1000)


def _difference(matte: Matte, truth: Matte) -> NDArray[np.int16]:
    difference: NDArray[np.int16] = np.abs(matte.astype(np.int16) - truth)
    return difference


def _gradient(matte: Matte) -> NDArray[np.float32]:
    alpha = matte.astype(np.float32) / np.float32(255)
    magnitude: NDArray[np.float32] = gaussian_gradient_magnitude(alpha, SIGMA, mode="nearest", radius=RADIUS)
    return magnitude
