from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutstream.errors import Poison
from cutstream.images.header import FORMATS, read_header
from tests.support.line_count import count_lines
from tests.support.pictures import MODULES

MAX_PIXELS = 1_000_000
MAX_LINES = 100_000  # of files of a few kilobytes
FILES = {
    name: [
        data
        for module in MODULES
        for case in module.cases()
        if case.format == name and len(data := case.build()) < 8_192
    ]
    for name in FORMATS
}
CHANGE = st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=0, max_size=8))


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@settings(max_examples=150)
def test_changed_files_give_a_header_or_a_named_error_in_few_steps(name: str, data: st.DataObject) -> None:
    """Bytes are replaced, inserted and cut out, more often near the front, where the structure is."""
    file = data.draw(st.sampled_from(FILES[name]))
    for place, new in data.draw(st.lists(CHANGE, max_size=6)):
        at = int(place**2 * len(file))
        file = file[:at] + new + file[at + data.draw(st.sampled_from([0, len(new), 2 * len(new), 1])) :]

    def read() -> None:
        try:
            header = read_header(file, MAX_PIXELS)
        except Poison:
            return
        assert 0 < header.pixels <= MAX_PIXELS
        assert 1 <= header.bits <= 16
        assert 1 <= header.channels <= 8
        assert header.pictures >= 1

    assert count_lines(read) < MAX_LINES


@given(st.binary(max_size=400))
def test_any_bytes_give_a_header_or_a_named_error(file: bytes) -> None:
    try:
        read_header(file, MAX_PIXELS)
    except Poison:
        pass
