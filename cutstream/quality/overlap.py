"""How far two subjects cover each other, and how much of the picture one takes."""

from __future__ import annotations

import numpy as np

from cutstream.images import Matte
from cutstream.quality import subject


def iou(matte: Matte, truth: Matte) -> float:
    """Intersection over union (Jaccard index) of the subjects, 0..1; 1 when both are empty, 0 when one is."""
    found, true = subject(matte), subject(truth)
    either = np.count_nonzero(found | true)
    return float(np.count_nonzero(found & true) / either) if either else 1.0


def f_score(matte: Matte, truth: Matte, beta2: float) -> float:
    """F-measure of the subjects, 0..1; `beta2` below 1 weighs precision more, 1 is the Dice coefficient.

    1 when both are empty, 0 when one is.
    """
    found, true = subject(matte), subject(truth)
    both = np.count_nonzero(found & true)
    total = np.count_nonzero(found) + beta2 * np.count_nonzero(true)
    return float((both + beta2 * both) / total) if total else 1.0  # rounded alike, so that it never passes 1


def coverage(matte: Matte) -> float:
    """Mean alpha, 0..1: the share of the picture that is subject."""
    return float(matte.mean() / 255)


def box_share(matte: Matte) -> float:
    """Share of the picture, 0..1, inside the subject's bounding box; 0 without a subject."""
    found = subject(matte)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    if not rows.size:
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / found.size)
