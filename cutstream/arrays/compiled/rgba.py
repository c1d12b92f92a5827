from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.compiled.machine_code import compiled

Array: TypeAlias = NDArray[Any]


def _rgba(pixels: Array, alpha: Array, out: Array) -> None:
    """Write to `out` (u8 H × W × 4) what `ArrayOps.rgba` says. `pixels` is u8 H × 3·W."""
    whole = out.view(np.uint32)  # a pixel at a time
    for y in range(alpha.shape[0]):
        colours, weights, row = pixels[y], alpha[y], whole[y]
        for x in range(alpha.shape[1]):
            at, weight = 3 * x, np.uint32(weights[x])
            red, green, blue = np.uint32(colours[at]), np.uint32(colours[at + 1]), np.uint32(colours[at + 2])
            seen = red | green << np.uint32(8) | blue << np.uint32(16) | weight << np.uint32(24)
            row[x, 0] = seen if weight else np.uint32(0)


rgba = compiled(
    _rgba,
    "void(Array(uint8, 2, 'C', readonly=True), Array(uint8, 2, 'C', readonly=True), uint8[:,:,::1])",
)
