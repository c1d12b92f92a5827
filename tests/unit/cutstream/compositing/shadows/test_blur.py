from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.shadows.blur import gaussian_blur

OPS = CpuOps()


@pytest.mark.parametrize("sigma", [0, 0.3, 1, 2.5, 6, 17, 60])
@pytest.mark.parametrize("size", [(240, 300), (1, 1), (3, 200)])
def test_it_is_about_a_gaussian_of_any_width(sigma: float, size: tuple[int, int]) -> None:
    matte = np.zeros(size, np.uint8)
    matte[size[0] // 4 : size[0] // 2 + 1, size[1] // 3 : size[1] // 2 + 1] = 255
    expected = gaussian_filter(matte.astype(float), sigma, mode="mirror")
    np.testing.assert_allclose(gaussian_blur(matte, sigma, OPS).astype(float), expected, atol=255 * 0.12)
    assert np.abs(gaussian_blur(matte, sigma, OPS) - expected).mean() < 4
