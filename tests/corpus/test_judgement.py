"""Each bar notices what breaks it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from tests.corpus.decoding import Outcome
from tests.corpus.judgement import MAX_SECONDS, judge
from tests.corpus.mutants import Mutant
from tests.corpus.originals import original

NAME = "jpeg/420"
DATA = original(NAME)
HEADER = read_header(DATA, 1_000_000)
UNDAMAGED = decode(DATA, HEADER)
FINE = Outcome("ok", "", UNDAMAGED, HEADER, 0.001, 0.01, 50, 100)
HALF = DATA[: len(DATA) // 2] + b"\xff\xd9"


def mutant(data: bytes = DATA, *kinds: str) -> Mutant:
    return Mutant(1, 0, NAME, kinds or ("flips",), data)


def half_grey() -> Image:
    pixels = UNDAMAGED.pixels.copy()
    pixels[pixels.shape[0] // 2 :] = 128
    return Image(pixels)


def test_the_undamaged_picture_is_fine() -> None:
    assert judge(mutant(), FINE, UNDAMAGED).violations == ()


@pytest.mark.parametrize(
    ("bar", "changed"),
    [
        ("death", {"died": True, "code": "failed_to_read_image", "image": None}),
        ("slow", {"header_s": MAX_SECONDS}),
        ("memory", {"peak_bytes": 101}),
        ("unnamed", {"code": "unexpected", "image": None}),
    ],
)
def test_each_limit_is_noticed(bar: str, changed: dict[str, Any]) -> None:
    assert judge(mutant(), replace(FINE, **changed), UNDAMAGED).violations == (bar,)


def test_a_cut_file_may_be_refused_but_not_be_half_grey() -> None:
    refused = replace(FINE, code="failed_to_read_image", image=None)
    assert judge(mutant(HALF, "cut_with_end"), refused, UNDAMAGED).violations == ()
    accepted = replace(FINE, image=half_grey())
    assert judge(mutant(HALF, "cut_with_end"), accepted, UNDAMAGED).violations == ("wrong",)


def test_what_others_see_in_damaged_bytes_is_fine_and_anything_else_is_wrong() -> None:
    damaged = original("jpeg/grey")
    seen = decode(damaged, read_header(damaged, 1_000_000))
    assert judge(mutant(damaged, "splice"), replace(FINE, image=seen), UNDAMAGED).violations == ()
    other = replace(seen, pixels=np.ascontiguousarray(255 - seen.pixels))
    assert judge(mutant(damaged, "splice"), replace(FINE, image=other), UNDAMAGED).violations == ("wrong",)


def test_what_all_others_refuse_is_wrong() -> None:
    assert judge(mutant(b"nothing", "run"), replace(FINE, image=half_grey()), UNDAMAGED).violations == ("wrong",)
