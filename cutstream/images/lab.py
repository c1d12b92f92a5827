"""Convert CIE Lab to sRGB. TIFF alone holds it, with the white D50 (TIFF 6.0, section 23; ICC.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutstream.images import Pixels
from cutstream.images.blocks import row_blocks
from cutstream.images.colour_spaces import Linear, encode

D50 = (0.9642, 1.0, 0.8249)
# From XYZ with the white D50 to linear sRGB, by Bradford adaptation (IEC 61966-2-1).
TO_SRGB = np.array(
    [[3.1341359, -1.6173864, -0.4906619], [-0.9787955, 1.9162544, 0.0334427], [0.0719554, -0.2289768, 1.4053861]],
    np.float32,
)


def to_srgb(samples: NDArray[Any]) -> Pixels:
    """Convert H×W×3 u8 samples: L 0..255, then a and b as signed bytes. u16 samples are the same × 256, L × 257."""
    height, width = samples.shape[:2]
    deep = samples.dtype == np.uint16
    lightness_scale, scale = (100 / 65535, 1 / 256) if deep else (100 / 255, 1.0)
    result = np.empty((height, width, 3), np.uint8)
    for rows in row_blocks(height, width):
        block = samples[rows]
        signed = block.view(np.int16 if deep else np.int8)
        lightness = block[..., 0].astype(np.float32) * np.float32(lightness_scale)
        a, b = (signed[..., i].astype(np.float32) * np.float32(scale) for i in (1, 2))
        result[rows] = encode(_linear(lightness, a, b))
    return result


def _linear(lightness: Linear, a: Linear, b: Linear) -> Linear:
    middle = (lightness + 16) / 116
    x, y, z = (
        white * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
        for white, f in zip(D50, (middle + a / 500, middle, middle - b / 200), strict=True)
    )
    linear = [x * row[0] + y * row[1] + z * row[2] for row in TO_SRGB]
    return np.stack(linear, axis=-1).astype(np.float32)
