from __future__ import annotations

import pytest

from cutstream.contract.colours import parse_colour
from cutstream.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "rgb"),
    [
        ("#f80", (255, 136, 0)),
        ("#FF8000", (255, 128, 0)),
        ("white", (255, 255, 255)),
        ("RebeccaPurple", (102, 51, 153)),
    ],
)
def test_colours(text: str, rgb: tuple[int, int, int]) -> None:
    assert parse_colour("background.color", text) == rgb


@pytest.mark.parametrize(
    "text", ["", "#12", "#12345", "#1234", "#11223344", "rgb(1,2,3)", "hsl(0,0%,0%)", "wite", "#ggg"]
)
def test_an_unreadable_colour_is_named_with_its_option(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"background\.color: .*#rrggbb"):
        parse_colour("background.color", text)
