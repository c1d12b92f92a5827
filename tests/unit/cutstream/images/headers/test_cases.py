"""The header of every generated file agrees with the picture that the file holds."""

from __future__ import annotations

import pytest

from cutstream.errors import UnreadableImage, UnsupportedImage
from cutstream.images.header import read_header
from tests.support.pictures import MODULES
from tests.support.pictures.case import Case

MAX_PIXELS = 50_000_000
CASES = [case for module in MODULES for case in module.cases()]
PICTURES = [case for case in CASES if case.refusal is None]
REFUSALS = [case for case in CASES if case.refusal == UnsupportedImage.code]
DAMAGED = [case for case in CASES if case.refusal == UnreadableImage.code]


@pytest.mark.parametrize("case", PICTURES, ids=lambda case: case.name)
def test_a_picture_has_the_size_that_its_header_states(case: Case) -> None:
    header = read_header(case.build(), MAX_PIXELS)
    assert case.colours is not None
    assert header.format == case.format
    assert {header.width, header.height} == set(case.colours.shape[:2])
    if case.alpha is not None:
        assert header.channels in (2, 4, 5)
    if case.warnings is not None:
        assert (header.pictures > 1) == ("first_of_several" in case.warnings)


@pytest.mark.parametrize("case", DAMAGED, ids=lambda case: case.name)
def test_a_damaged_picture_is_not_called_another_kind_of_file(case: Case) -> None:
    try:
        read_header(case.build(), MAX_PIXELS)
    except UnreadableImage:
        return  # most damage lies behind the header, and is the decoder's to find


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_an_intact_file_that_is_not_read_is_never_called_damaged(case: Case) -> None:
    try:
        read_header(case.build(), MAX_PIXELS)
    except UnsupportedImage:
        return  # a few are the decoder's to refuse
