"""Measures of quality: pure functions of a photo, its true matte and the matte under test.

Photos are u8 H×W×3 RGB, mattes u8 H×W (`cutstream.images`), all of the same size. The *subject* is where a matte is at
least THRESHOLD. Lengths are in px of an image with a long side of LONG_SIDE, so that a photo and its thumbnail give the
same values. Each function states its value for mattes without a subject. docs/evaluation.md explains the measures to
users.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.images import Matte

Mask: TypeAlias = NDArray[np.bool_]

THRESHOLD = 128
LONG_SIDE = 1000


def subject(matte: Matte) -> Mask:
    """Return the mask of the subject, bool H×W."""
    mask: Mask = matte >= THRESHOLD
    return mask
