"""What is fuzzed: functions that may raise `Poison` for any bytes, and nothing else.

Import this module within `atheris.instrument_imports()`: what it imports is then followed branch by branch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from cutstream.errors import Poison
from cutstream.images.decode import decode
from cutstream.images.header import read_header

MAX_PIXELS = 1_000_000


def header(data: bytes) -> None:
    try:
        found = read_header(data, MAX_PIXELS)
    except Poison:
        return
    assert 0 < found.pixels <= MAX_PIXELS, found
    assert 1 <= found.bits <= 16, found
    assert 1 <= found.channels <= 8, found
    assert found.pictures >= 1, found


def decoded(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a decoder process
        try:
            found = read_header(data, MAX_PIXELS)
            image = decode(data, found)
        except Poison:
            return
    assert {image.width, image.height} == {found.width, found.height}, found


TARGETS: dict[str, Callable[[bytes], None]] = {"header": header, "decode": decoded}
