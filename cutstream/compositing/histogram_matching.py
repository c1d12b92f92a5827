"""Look-up tables for `ArrayOps.lookup`, made of histograms in host memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import Table


def matching(counts: NDArray[np.int64], reference: NDArray[np.int64]) -> Table:
    """Gives pixels of one channel with `counts` (256 of them) the distribution of `reference`, as nearly as 256 do.

    Order is kept, and a channel that has the reference's distribution stays as it is. Nothing changes where either
    has no pixels.
    """
    own, wanted = np.cumsum(counts), np.cumsum(reference)
    if not own[-1] or not wanted[-1]:
        return np.arange(256, dtype=np.uint8)
    # The lowest value that at least as large a share of the reference reaches; whole numbers, so that equal is equal.
    table: Table = np.searchsorted(wanted * own[-1], own * wanted[-1]).astype(np.uint8)
    return table
