"""How good a matte is: pure functions over a photo, its true mask and the matte under test.

Photos are u8 H×W×3 RGB, mattes and masks u8 H×W (`cutstream.images`), all of one size. A *subject* is where a matte is
at least THRESHOLD. Lengths that depend on the picture's size are in pixels of a picture whose long side is LONG_SIDE,
so that a photo and its thumbnail measure alike. Each function says what it makes of masks without a subject.
docs/evaluation.md tells users the same.
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
    """bool H×W: where the matte says subject."""
    mask: Mask = matte >= THRESHOLD
    return mask
