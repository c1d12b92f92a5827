from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.folder import InvalidExamples
from evaluation.scoring.attributes import read_attributes

STEMS = {"a_1", "a_2", "b_1"}


def table(folder: Path, text: str) -> Path:
    path = folder / "attributes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_other_column_is_an_attribute(tmp_path: Path) -> None:
    path = table(tmp_path, "people, photo ,light\n1,a_1,soft\n\n2, b_1 ,\n")
    assert read_attributes(path, STEMS) == {"people": {"a_1": "1", "b_1": "2"}, "light": {"a_1": "soft"}}


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "attributes.csv"
    path.write_bytes(b'\xef\xbb\xbfphoto,place\r\na_1,"in, or out"\r\n')
    assert read_attributes(path, STEMS) == {"place": {"a_1": "in, or out"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column `photo` in its first line, but nothing"),
        ("stem,people\na_1,1\n", "has no column `photo` in its first line, but stem, people"),
        ("photo,people\nc_1,1\na_1,1\n", "names c_1, which images/ does not hold"),
        ("photo,people\na_1,1\na_1,2\n", "more than one line for a_1"),
        ("photo,people\na_1\n", "line 2 has 1 cells, the first line 2"),
        ("photo,people,people\na_1,1,1\n", "must differ and not be empty"),
        ('photo,people\na_1,"1\n', "cannot be read as CSV"),
    ],
)
def test_a_malformed_table_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidExamples, match=message):
        read_attributes(table(tmp_path, text), STEMS)


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidExamples, match="cannot be read as CSV"):
        read_attributes(tmp_path / "none.csv", STEMS)
