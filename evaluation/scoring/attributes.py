"""Read a table of photo attributes, such as the number of people, the difficulty of the pose or the light."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from evaluation.folder import InvalidExamples, first_few

KEY = "photo"

Attributes = dict[str, dict[str, str]]  # column → stem → value


def read_attributes(path: Path, stems: Collection[str]) -> Attributes:
    """Read a CSV file in which every column except `photo` is an attribute.

    An empty cell or a missing line leaves the photo out of that attribute. Raises InvalidExamples if the file is not
    such a table, or names photos that are not in `stems`.
    """
    header, rows = _read_table(path)
    photos = [row[KEY] for row in rows]
    if unknown := {photo for photo in photos if photo not in stems}:
        raise InvalidExamples(
            f"{path} names {first_few(unknown)}, which images/ does not hold: `{KEY}` is the file's name without its "
            "extension"
        )
    if twice := {photo for photo in photos if photos.count(photo) > 1}:
        raise InvalidExamples(f"{path} has more than one line for {first_few(twice)}")
    return {column: {row[KEY]: row[column] for row in rows if row[column]} for column in header if column != KEY}


def _read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file, strict=True) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InvalidExamples(f"the attributes {path} cannot be read as CSV: {exc}") from exc
    header = lines[0] if lines else []
    if KEY not in header:
        raise InvalidExamples(f"{path} has no column `{KEY}` in its first line, but {', '.join(header) or 'nothing'}")
    if len(set(header)) < len(header) or "" in header:
        raise InvalidExamples(f"{path}: the names of the columns must differ and not be empty: {', '.join(header)}")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise InvalidExamples(f"{path}: line {number} has {len(line)} cells, the first line {len(header)}")
    return header, [dict(zip(header, line, strict=True)) for line in lines[1:]]
