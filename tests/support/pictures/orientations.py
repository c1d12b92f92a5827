"""The eight orientations of EXIF and TIFF, and the smallest EXIF block that names one."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray


def stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return the rows and columns that a file holds, such that its orientation turns them upright again."""
    turned = upright.swapaxes(0, 1) if orientation >= 5 else upright
    if orientation in (3, 4, 6, 7):
        turned = turned[::-1]
    if orientation in (2, 3, 7, 8):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def exif(orientation: int, order: str = ">") -> bytes:
    """Return a TIFF structure whose only entry is the orientation."""
    head = b"MM\0*" if order == ">" else b"II*\0"
    return head + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
