"""Apply a palette to indices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutstream.images import Matte, Pixels
from cutstream.images.decoders.failures import Undecodable


def apply_palette(
    indices: NDArray[np.uint8], colours: NDArray[np.uint8], alpha: NDArray[np.uint8] | None
) -> tuple[Pixels, Matte | None]:
    """Return H×W×3 colours and, with an `alpha` for each colour, H×W alpha, for H×W indices into N×3 `colours`.

    Raises `Undecodable` if an index has no colour: what it should show is unknown.
    """
    if indices.max() >= len(colours):
        raise Undecodable("it uses colours that its palette does not have")
    return np.take(colours, indices, axis=0), None if alpha is None else np.take(alpha, indices)
