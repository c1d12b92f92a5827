from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cutstream.clock import ManualClock
from cutstream.errors import ConfigurationError, InvalidOption
from producer.gateway.keys import Client, Keys, create_key, read_keys

CLOCK = ManualClock()


def test_a_key_is_shown_once_and_stored_as_a_hash(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    first, second = create_key(file, "shop", CLOCK), create_key(file, "print", CLOCK)
    text = file.read_text()
    assert first not in text
    assert second not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = Keys(file, CLOCK)
    assert keys.find(first) == Client("shop")
    assert keys.find(second) == Client("print")
    assert keys.find(first + "x") is None
    assert keys.find("") is None
    assert keys.find("\udcff") is None  # a header of bytes that are no text


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    create_key(file, "shop", CLOCK)
    with pytest.raises(InvalidOption, match="has a key called 'shop'"):
        create_key(file, "shop", CLOCK)
    with pytest.raises(InvalidOption, match="is no name"):
        create_key(file, "a b]", CLOCK)


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, file = ManualClock(), tmp_path / "keys.toml"
    key = create_key(file, "shop", clock)
    keys = Keys(file, clock)
    file.write_text(file.read_text() + "requests_per_minute = 7\n")
    assert keys.find(key) == Client("shop"), "it looks at the file every other second only"
    clock.sleep(3)
    assert keys.find(key) == Client("shop", requests_per_minute=7)
    file.write_text("broken [")
    clock.sleep(3)
    assert keys.find(key) == Client("shop", requests_per_minute=7)
    assert "stay valid" in caplog.text
    file.write_text("")
    os.utime(file, (1, 1))
    clock.sleep(3)
    assert keys.find(key) is None, "it was revoked"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1", r"\[a\]: an entry has"),
        ('[a]\nsha256 = "x"', r"\[a\]: an entry has"),
        ("[a]\nsha256 = '" + "0" * 64 + "'\nlimit = 1", "there is no limit"),
        ("[a]\nsha256 = '" + "0" * 64 + "'\nmax_calls = 0", "max_calls must be"),
        ("[a]\nsha256 = '" + "0" * 64 + "'\nmax_calls = true", "max_calls must be"),
        ("[", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=problem):
        read_keys(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_keys(tmp_path / "none.toml")
