"""Apply a palette to indices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from cutstream.images import Matte, Pixels
from cutstream.images.blocks import row_blocks
from cutstream.images.decoders.failures import Undecodable


def apply_palette(
    indices: NDArray[np.uint8], colours: NDArray[np.uint8], alpha: NDArray[np.uint8] | None
) -> tuple[Pixels, Matte | None]:
    """Return H×W×3 colours and, with 256 values of `alpha`, H×W alpha, for H×W indices into N×3 `colours`.

    Raises `Undecodable` if an index has no colour: what it should show is unknown.
    """
    if indices.max() >= len(colours):
        raise Undecodable("it uses colours that its palette does not have")
    height, width = indices.shape
    pixels = np.empty((height, width, 3), np.uint8)
    opacity = None if alpha is None else np.empty((height, width), np.uint8)
    for rows in row_blocks(height, width):  # Pillow does this in a seventh of NumPy's time
        block = indices[rows]
        image = Pillow.frombuffer("P", (width, block.shape[0]), np.ascontiguousarray(block), "raw", "P", 0, 1)
        image.putpalette(colours.tobytes())
        pixels[rows] = np.asarray(image.convert("RGB"))
        if alpha is not None and opacity is not None:
            opacity[rows] = alpha[block]
    return pixels, opacity
