"""The tables of OpenCV's fixed-point CIE Lab (`color_lab.cpp`), for the kernels of `lab.cu`.

Linear light counts in 2040ths going in and in 4096ths coming out, f(t) of the Lab formula in 32768ths going in and in
16384ths coming out. With them the kernels give OpenCV's levels for each of the 2²⁴ colours, both ways.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IN, OUT, ROOT, CUBE = 2040, 4096, 32768, 16384


def _linear() -> NDArray[np.float64]:
    level = np.arange(256) / 255
    return IN * np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def _roots() -> NDArray[np.float32]:
    light = np.arange(IN + 1) / IN
    root = ROOT * np.where(light < 216 / 24389, light * 841 / 108 + 16 / 116, np.cbrt(light))
    return root.astype(np.float32)  # which makes two of them halves, as OpenCV does: those go to the even neighbour


def _lightness() -> NDArray[np.float64]:
    """256 × 2: linear light Y and f(Y) of each level of L."""
    level = np.arange(256)
    root = np.where(level <= 20, 16 / 116 + level * 5 / (3 * 17 * 29), (level * 100 / 255 + 16) / 116)
    light = np.where(level <= 20, level * 180 / (17 * 29**3), root**3)
    return CUBE * np.stack([light, root], axis=-1)


def _levels() -> NDArray[np.float64]:
    light = np.arange(OUT) / OUT
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


LINEAR = np.rint(_linear()).astype(np.uint16)
ROOTS = np.rint(_roots()).astype(np.uint16)
LIGHTNESS = np.rint(_lightness()).astype(np.int32)
LEVELS = np.rint(_levels()).astype(np.uint8)
