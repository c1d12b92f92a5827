"""How far two contours lie apart.

A contour is every subject pixel beside a background pixel, above, below, left or right. The picture's frame is no
contour: a subject that it cuts off has no edge there that could be right or wrong.
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

MARGIN_PX = 3.0  # of boundary F1
BANDS = (("excellent", 10.0), ("good", 20.0), ("fair", 40.0), ("poor", math.inf))


@dataclass(frozen=True)
class Separation:
    """How far each contour pixel of one mask is from the nearest of the other, in pixels at a long side of 1000.

    f64 [n] and f64 [m]. `pixel` is the length of one of the picture's own pixels in that unit.
    """

    from_matte: NDArray[np.float64]
    from_truth: NDArray[np.float64]
    pixel: float

    def boundary_f1(self, margin: float = MARGIN_PX) -> float:
        """F1 of the contour pixels within `margin` of the other contour, 0..1 (Csurka et al. 2013).

        The margin is at least one of the picture's own pixels.
        """
        reach = max(margin, self.pixel)
        precision, recall = np.mean(self.from_matte <= reach), np.mean(self.from_truth <= reach)
        return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0

    def hausdorff(self, percentile: float = 100) -> float:
        """The larger of both directions' percentiles; 100 is the Hausdorff distance, 95 forgives single outliers."""
        return float(max(np.percentile(self.from_matte, percentile), np.percentile(self.from_truth, percentile)))


def separation(matte: Matte, truth: Matte) -> Separation:
    """Masks without any contour (no subject, or nothing else) are 0 apart when equal.

    Where only one has a contour, or neither and they differ, they are the picture's diagonal apart: F1 is 0.
    """
    found, true = subject(matte), subject(truth)
    pixel = LONG_SIDE / max(found.shape)
    one, other = np.argwhere(inner(found)), np.argwhere(inner(true))
    if len(one) and len(other):
        return Separation(_nearest(one, other) * pixel, _nearest(other, one) * pixel, pixel)
    apart = 0.0 if np.array_equal(found, true) else math.hypot(*found.shape) * pixel
    return Separation(np.array([apart]), np.array([apart]), pixel)


def band(hausdorff: float) -> str:
    """A word for a distance at a long side of 1000: excellent up to 10, good to 20, fair to 40, then poor."""
    return next(name for name, limit in BANDS if hausdorff <= limit)


def inner(mask: Mask) -> Mask:
    """The contour, bool H×W."""
    contour: Mask = mask & ~binary_erosion(mask, border_value=1)
    return contour


def outer(mask: Mask) -> Mask:
    """The background pixels beside the contour, bool H×W."""
    rim: Mask = binary_dilation(mask) & ~mask
    return rim


def _nearest(points: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = cKDTree(others).query(points)[0]
    return distances
