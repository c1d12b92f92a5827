"""Walk an image in blocks of rows, so that what is computed on the way needs little memory beside the result."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK_PIXELS = 1 << 16


def row_blocks(height: int, width: int) -> Iterator[slice]:
    """Yield slices that cover `height` rows in order, each of about 65,536 pixels."""
    rows = max(1, BLOCK_PIXELS // max(1, width))
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))
