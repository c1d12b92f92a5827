"""The tables of OpenCV's fixed-point CIE Lab conversion (`color_lab.cpp`), for the kernels in `lab.cu`.

To Lab, linear light is in units of 1/2040 and f(t) of the Lab formula in units of 1/32768. From Lab, they are in units
of 1/4096 and 1/16384. With these tables the kernels give OpenCV's results for each of the 2²⁴ colours, in both
directions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIGHT_IN, LIGHT_OUT, ROOT_IN, ROOT_OUT = 2040, 4096, 32768, 16384


def _linear() -> NDArray[np.float64]:
    level = np.arange(256) / 255
    return LIGHT_IN * np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def _roots() -> NDArray[np.float32]:
    light = np.arange(LIGHT_IN + 1) / LIGHT_IN
    root = ROOT_IN * np.where(light < 216 / 24389, light * 841 / 108 + 16 / 116, np.cbrt(light))
    return root.astype(np.float32)  # as OpenCV does; it makes two of them halves, which are rounded to even


def _lightness() -> NDArray[np.float64]:
    """Return linear light Y and f(Y) for each level of L, as 256 × 2."""
    level = np.arange(256)
    root = np.where(level <= 20, 16 / 116 + level * 5 / (3 * 17 * 29), (level * 100 / 255 + 16) / 116)
    light = np.where(level <= 20, level * 180 / (17 * 29**3), root**3)
    return ROOT_OUT * np.stack([light, root], axis=-1)


def _levels() -> NDArray[np.float64]:
    light = np.arange(LIGHT_OUT) / LIGHT_OUT
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


LINEAR = np.rint(_linear()).astype(np.uint16)
ROOTS = np.rint(_roots()).astype(np.uint16)
LIGHTNESS = np.rint(_lightness()).astype(np.int32)
LEVELS = np.rint(_levels()).astype(np.uint8)
