"""Ghosts and holes: parts of a matte that the true matte does not have at all.

A part counts if it is larger than MIN_SHARE of the image and keeps MARGIN_PX from the true contour, so that an edge
that is merely in the wrong place counts as neither.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from cutstream.images import Matte
from cutstream.quality import LONG_SIDE, Mask, subject

VISIBLE = 25  # alpha above a tenth shows on any background
MIN_SHARE = 0.001
MARGIN_PX = 3.0  # at a long side of LONG_SIDE, and at least one pixel of the image

_CORNERS = np.ones((3, 3), np.bool_)  # pixels of a ghost may touch at a corner, those of a hole may not


def count_ghosts(matte: Matte, truth: Matte) -> int:
    """Count the visible islands of a matte that lie outside the true subject. 0 for a matte without alpha."""
    return _count_apart(matte > VISIBLE, ~subject(truth), _CORNERS)


def count_holes(matte: Matte, truth: Matte) -> int:
    """Count the gaps in a matte's subject that lie inside the true subject. 0 without a true subject."""
    return _count_apart(~subject(matte), subject(truth), None)


def _count_apart(mask: Mask, region: Mask, structure: NDArray[np.bool_] | None) -> int:
    """Count the large components of `mask` that lie in `region`, away from its edge. The image's frame is no edge."""
    labels, count = label(mask, structure)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    areas[np.unique(labels[~region])] = 0
    large = areas > MIN_SHARE * mask.size
    if not large.any() or region.all():
        return int(large.sum())
    near = distance_transform_edt(region) <= max(1.0, MARGIN_PX * max(mask.shape) / LONG_SIDE)
    large[np.unique(labels[near])] = False
    return int(large.sum())
