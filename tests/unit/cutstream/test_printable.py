"""What strangers write cannot control a terminal."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from cutstream.printable import printable


@given(st.text(st.characters()))
def test_no_control_character_is_left_but_tab_and_newline(text: str) -> None:
    shown = printable(text).replace("\t", "").replace("\n", "")
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    shown.encode()


def test_plain_text_stays_as_it_is() -> None:
    text = "order\t4711\nStühle, 椅子, कुर्सी, 👩‍🚀"
    assert printable(text) == text
    assert printable("\x1b[2J\x9b31m\u202egpj.exe") == r"\u001b[2J\u009b31m\u202egpj.exe"


@given(st.dictionaries(st.text(), st.text()))
def test_json_stays_the_same_json(value: dict[str, str]) -> None:
    assert json.loads(printable(json.dumps(value, ensure_ascii=False))) == value
