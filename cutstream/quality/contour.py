"""Distances between the contours of two mattes.

The contour consists of all subject pixels with a background pixel above, below, left or right of them. The border of
the image is not part of it: a subject that the border cuts off has no edge there that could be right or wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial import cKDTree

from cutstream.images import Matte
from cutstream.quality import LONG_SIDE, Mask, subject

MARGIN_PX = 3.0  # the default of boundary F1
BANDS = (("excellent", 10.0), ("good", 20.0), ("fair", 40.0), ("poor", math.inf))


@dataclass(frozen=True)
class Separation:
    """Distances from each contour pixel of one mask to the nearest one of the other, in px at a long side of 1000.

    They are f64 [n] and f64 [m]. `pixel` is the size of one pixel of the image in that unit.
    """

    from_matte: NDArray[np.float64]
    from_truth: NDArray[np.float64]
    pixel: float

    def boundary_f1(self, margin: float = MARGIN_PX) -> float:
        """Return the F1 score of contour pixels within `margin` of the other contour, 0..1 (Csurka et al. 2013).

        The margin is at least one pixel of the image.
        """
        reach = max(margin, self.pixel)
        precision, recall = np.mean(self.from_matte <= reach), np.mean(self.from_truth <= reach)
        return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0

    def hausdorff(self, percentile: float = 100) -> float:
        """Return the larger percentile of both directions: 100 is the Hausdorff distance, 95 ignores outliers."""
        return float(max(np.percentile(self.from_matte, percentile), np.percentile(self.from_truth, percentile)))


def separation(matte: Matte, truth: Matte) -> Separation:
    """Measure the distances between the contours of two mattes.

    Masks without a contour (all background or all subject) are 0 apart if they are equal. If they differ, or only one
    has a contour, they are the diagonal of the image apart, and F1 is 0.
    """
    mask, true_mask = subject(matte), subject(truth)
    pixel = LONG_SIDE / max(mask.shape)
    contour, true_contour = np.argwhere(inner(mask)), np.argwhere(inner(true_mask))
    if len(contour) and len(true_contour):
        from_matte, from_truth = _nearest(contour, true_contour), _nearest(true_contour, contour)
        return Separation(from_matte * pixel, from_truth * pixel, pixel)
    apart = 0.0 if np.array_equal(mask, true_mask) else math.hypot(*mask.shape) * pixel
    return Separation(np.array([apart]), np.array([apart]), pixel)


def band(hausdorff: float) -> str:
    """Rate a distance at a long side of 1000: `excellent` up to 10, `good` to 20, `fair` to 40, then `poor`."""
    return next(name for name, limit in BANDS if hausdorff <= limit)


def inner(mask: Mask) -> Mask:
    """Return the contour: the subject pixels beside the background, bool H×W."""
    contour: Mask = mask & ~binary_erosion(mask, border_value=1)
    return contour


def outer(mask: Mask) -> Mask:
    """Return the background pixels beside the contour, bool H×W."""
    rim: Mask = binary_dilation(mask) & ~mask
    return rim


def _nearest(points: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = cKDTree(others).query(points)[0]
    return distances
