"""Every generated file is decoded right, or refused with the error that its case names: never `ok` and wrong.

Where the truth is lossy, another decoder's picture of the same bytes is the closer truth.
"""

from __future__ import annotations

import pytest

from cutstream.errors import Poison
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from tests.support.pictures import all_cases
from tests.support.pictures.case import Case, Tolerance, difference, mismatch
from tests.support.pictures.opinions import second_opinion

MAX_PIXELS = 50_000_000
AGREED = Tolerance(64, 2.5)  # two decoders of one lossy file: rounding, and how chroma is enlarged
CASES = {case.name: case for case in all_cases()}
READ = [case for case in CASES.values() if case.refusal is None]
REFUSED = [case for case in CASES.values() if case.refusal]


def by_name(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


@by_name(READ)
def test_the_picture_is_the_true_one(case: Case) -> None:
    data = case.build()
    image = decode(data, read_header(data, MAX_PIXELS))
    assert mismatch(case, image.pixels, image.alpha) is None
    if case.warnings is not None:
        assert tuple(warning.code for warning in image.warnings) == case.warnings
    if case.reference:
        colours, _ = second_opinion(case.format, data)
        assert difference(image.pixels, colours, AGREED) is None


@by_name(REFUSED)
def test_what_cannot_be_read_is_refused_by_name(case: Case) -> None:
    data = case.build()
    with pytest.raises(Poison, match=case.message or None) as caught:
        decode(data, read_header(data, MAX_PIXELS))
    assert caught.value.code == case.refusal


def test_names_are_unique_and_every_format_is_there() -> None:
    assert len(CASES) == len(list(all_cases()))
    assert {case.format for case in READ} == set(
        ["jpeg", "png", "webp", "avif", "heic", "tiff", "gif", "bmp", "jpeg2000"]
    )


def test_files_are_the_same_each_time() -> None:
    sample = list(CASES.values())[::17]
    assert [case.build() for case in sample] == [case.build() for case in sample]
