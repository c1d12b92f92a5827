"""What strangers write cannot control a terminal, or hide in it."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutstream.printable import printable


@given(st.text(st.characters()))
def test_no_character_is_left_that_shows_nothing_but_spaces_tabs_and_newlines(text: str) -> None:
    shown = printable(text).replace("\t", "").replace("\n", "")
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    shown.encode()


def test_plain_text_stays_as_it_is() -> None:
    text = "order\t4711\nStühle, 椅子, कुर्सी, تصویر, e\u0301, 100\u00a0%, 東京\u3000駅, 👩🚀🇪🇺"
    assert printable(text) == text
    assert printable("\x1b[2J\x9b31m\u202egpj.exe") == r"\u001b[2J\u009b31m\u202egpj.exe"


@pytest.mark.parametrize(
    ("name", "character"),
    [
        ("a joiner", "\u200d"),
        ("a tag", "\U000e0041"),
        ("a variation selector", "\ufe0f"),
        ("a variation selector of ideographs", "\U000e0100"),
        ("the grapheme joiner", "\u034f"),
        ("a Mongolian vowel separator", "\u180e"),
        ("a Hangul filler", "\u3164"),
        ("half a Hangul filler", "\uffa0"),
        ("a blank Braille pattern", "\u2800"),
        ("an unassigned character", "\U000e0fff"),
        ("a private character", "\U0010fffd"),
        ("half a surrogate pair", "\udc80"),
    ],
)
def test_what_shows_nothing_is_shown(name: str, character: str) -> None:
    shown = printable(f"id{character}")
    assert shown == "id" + json.dumps(character)[1:-1]


@given(st.dictionaries(st.text(), st.text()))
def test_json_stays_the_same_json(value: dict[str, str]) -> None:
    assert json.loads(printable(json.dumps(value, ensure_ascii=False))) == value
