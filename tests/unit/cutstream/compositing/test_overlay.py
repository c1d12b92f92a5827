from __future__ import annotations

import numpy as np

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.overlay import overlay

OPS = CpuOps()


def test_the_subject_is_mixed_half_with_green_by_its_alpha() -> None:
    pixels = np.full((1, 3, 3), (200, 40, 100), np.uint8)
    tinted = overlay(pixels, np.array([[0, 128, 255]], np.uint8), OPS).astype(int)
    assert tinted[0, 0].tolist() == [200, 40, 100]
    assert np.abs(tinted[0, 1] - [150, 94, 75]).max() <= 1
    assert np.abs(tinted[0, 2] - [100, 148, 50]).max() <= 1
