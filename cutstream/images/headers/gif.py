"""The header of a GIF (GIF89a), up to its second picture."""

from __future__ import annotations

from struct import unpack_from

from cutstream.images.headers.reading import Steps
from cutstream.images.headers.types import Header

MAX_BLOCKS = 200_000  # 51 MB of full data blocks
STEPS_OF_EXTENSION = 4  # it takes as long as so many data blocks
EXTENSION, PICTURE, CONTROL = 0x21, 0x2C, 0xF9


def read_gif(data: bytes) -> Header:
    """Return the size of the screen, widened to hold the first picture, as browsers do."""
    width, height, flags = unpack_from("<HHB", data, 6)
    steps = Steps(MAX_BLOCKS, "data blocks")
    at, transparent = _find_picture(data, 13 + _table_bytes(flags), steps)
    left, top, w, h, local = unpack_from("<HHHHB", data, at + 1)
    if not w * h:
        raise ValueError(f"its picture is empty, {w}×{h}")
    try:
        _find_picture(data, _skip_blocks(data, at + 11 + _table_bytes(local), steps), steps)
        pictures = 2
    except (ValueError, IndexError):  # no second picture, or none within reach
        pictures = 1
    channels = 4 if transparent else 3
    return Header("gif", max(width, left + w), max(height, top + h), channels=channels, pictures=pictures)


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _find_picture(data: bytes, at: int, steps: Steps) -> tuple[int, bool]:
    """Return where the next picture begins, and whether it has a transparent colour. Extensions are skipped."""
    transparent = False
    while data[at] == EXTENSION:
        steps.take(STEPS_OF_EXTENSION)
        if data[at + 1] == CONTROL:
            transparent = bool(data[at + 3] & 1)
        at = _skip_blocks(data, at + 2, steps)
    if data[at] != PICTURE:
        raise ValueError("no picture")
    return at, transparent


def _skip_blocks(data: bytes, at: int, steps: Steps) -> int:
    """Return where a chain of data blocks ends: each begins with its length, and an empty one is the last."""
    count = 1
    while size := data[at]:
        at += size + 1
        count += 1
        if count == 1000:
            steps.take(count)
            count = 0
    steps.take(count)
    return at + 1
