"""Overlap of two subjects, and the share of the image that one covers."""

from __future__ import annotations

import numpy as np

from cutstream.images import Matte
from cutstream.quality import subject


def iou(matte: Matte, truth: Matte) -> float:
    """Return intersection over union (Jaccard index) of the subjects, 0..1. It is 1 if both are empty, 0 if one is."""
    mask, true_mask = subject(matte), subject(truth)
    union = np.count_nonzero(mask | true_mask)
    return float(np.count_nonzero(mask & true_mask) / union) if union else 1.0


def f_score(matte: Matte, truth: Matte, beta2: float) -> float:
    """Return the F-measure of the subjects, 0..1. It is 1 if both are empty, 0 if one is.

    A `beta2` below 1 gives precision more weight. With 1 it is the Dice coefficient.
    """
    mask, true_mask = subject(matte), subject(truth)
    both = np.count_nonzero(mask & true_mask)
    total = np.count_nonzero(mask) + beta2 * np.count_nonzero(true_mask)
    return float((both + beta2 * both) / total) if total else 1.0  # both sides round alike, so it never exceeds 1


def coverage(matte: Matte) -> float:
    """Return the mean alpha, 0..1: the share of the image that is subject."""
    return float(matte.mean() / 255)


def box_share(matte: Matte) -> float:
    """Return the share of the image inside the bounding box of the subject, 0..1. It is 0 without a subject."""
    mask = subject(matte)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / mask.size)
