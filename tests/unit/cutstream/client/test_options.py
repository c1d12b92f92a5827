"""The options of a client are the fields of a request, with the same values."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from cutstream.client import Options
from cutstream.contract.messages import Request

HINTS = get_type_hints(Options)


def values(hint: object) -> set[object]:
    """Return the literal values anywhere in a type."""
    found = {part for part in get_args(hint) if isinstance(part, str)}
    return found.union(*(values(part) for part in get_args(hint)), set())


def test_every_field_but_the_photo_is_an_option() -> None:
    assert set(HINTS) == set(Request.__struct_fields__) - {"image", "replay"}


@pytest.mark.parametrize("name", sorted(HINTS))
def test_an_option_takes_the_values_of_its_field(name: str) -> None:
    field = get_type_hints(Request)[name]
    assert values(HINTS[name]) - {"jpg"} == values(field)
