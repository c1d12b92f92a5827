"""Apply a palette to indices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutstream.images import Matte, Pixels
from cutstream.images.blocks import row_blocks
from cutstream.images.decoders.failures import Undecodable


def apply_palette(
    indices: NDArray[np.uint8], colours: NDArray[np.uint8], alpha: NDArray[np.uint8] | None
) -> tuple[Pixels, Matte | None]:
    """Return H×W×3 colours and, with an `alpha` for each colour, H×W alpha, for H×W indices into N×3 `colours`.

    Raises `Undecodable` if an index has no colour: what it should show is unknown.
    """
    if indices.max() >= len(colours):
        raise Undecodable("it uses colours that its palette does not have")
    pixels = np.empty((*indices.shape, 3), np.uint8)
    opacity = None if alpha is None else np.empty(indices.shape, np.uint8)
    for rows in row_blocks(*indices.shape):  # NumPy takes eight bytes an index
        pixels[rows] = colours[indices[rows]]
        if alpha is not None and opacity is not None:
            opacity[rows] = alpha[indices[rows]]
    return pixels, opacity
