"""What `cutstream up` prints."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from commands.stack import next_steps

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [str(ROOT / ".venv" / "bin" / "cutstream"), "up"])
    return ".venv/bin/cutstream"


def commands(lines: list[str]) -> list[list[str]]:
    return [shlex.split(line) for line in lines if line.startswith("  ")]


def test_the_next_steps_can_be_pasted(program: str) -> None:
    assert commands(next_steps([Path("/my photos/it's")])) == [
        [program, "submit", "/my photos/it's"],
        [program, "results", "--follow"],
        [program, "top"],
    ]


def test_without_an_allowed_folder_the_next_step_is_to_allow_one(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/my name")
    follow, watch, again = commands(next_steps([]))
    assert (follow, watch) == ([program, "results", "--follow"], [program, "top"])
    assert again == ["CUTSTREAM_OBJECTS__FILE_ROOTS=/home/my name/photos", program, "up"]
