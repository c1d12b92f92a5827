"""All generated files pass through one decoder process: what it may take and do suffices, and no file ends it."""

from __future__ import annotations

import numpy as np

from consumer.resources.decoding.pool import DecoderPool
from cutstream.errors import Poison
from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.header import Header, read_header
from tests.support.pictures import all_cases

MAX_PIXELS = 50_000_000


def outcome(data: bytes, pool: DecoderPool | None) -> tuple[str, Image | None]:
    """Return the error's code and message, or the image."""
    try:
        header: Header = read_header(data, MAX_PIXELS)
        return "ok", pool.decode(data, header) if pool else decode(data, header)
    except Poison as error:
        return f"{error.code} {error}"[:400], None


def test_a_decoder_process_returns_what_decoding_here_returns_for_every_file() -> None:
    restarts: list[None] = []
    pool = DecoderPool(1, 30, max_bytes=30_000_000, max_pixels=MAX_PIXELS, on_restart=lambda: restarts.append(None))
    pool.start()
    try:
        for case in all_cases():
            data = case.build()
            (here, mine), (there, theirs) = outcome(data, None), outcome(data, pool)
            assert here == there, case.name
            if mine is not None and theirs is not None:
                assert np.array_equal(mine.pixels, theirs.pixels), case.name
                assert (mine.alpha is None) == (theirs.alpha is None), case.name
                assert mine.alpha is None or np.array_equal(mine.alpha, theirs.alpha), case.name  # type: ignore[arg-type]
                assert (mine.icc, mine.dpi, mine.warnings) == (theirs.icc, theirs.dpi, theirs.warnings), case.name
    finally:
        pool.close()
    assert restarts == []
