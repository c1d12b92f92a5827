from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutstream.arrays.ops import Table


def matching_table(counts: NDArray[np.int64], reference: NDArray[np.int64]) -> Table:
    """Return the table for `ArrayOps.lookup` that gives one channel the distribution of a reference.

    Both are 256 counts in host memory; 256 values match the reference as nearly as they can. Order is kept, and a
    channel that has the reference's distribution stays as it is. Nothing changes if either has no pixels.
    """
    own, wanted = np.cumsum(counts), np.cumsum(reference)
    if not own[-1] or not wanted[-1]:
        return np.arange(256, dtype=np.uint8)
    # The lowest value that at least as large a share of the reference reaches; whole numbers, so that equal is equal.
    table: Table = np.searchsorted(wanted * own[-1], own * wanted[-1]).astype(np.uint8)
    return table
