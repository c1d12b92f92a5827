"""What strangers wrote reaches no terminal as it is."""

from __future__ import annotations

import json

import pytest
from click.testing import Result
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from commands import console, dead_letters
from commands.app import app
from cutstream.clients.kafka import Partition, Record
from cutstream.errors import InvalidRequest
from producer import following
from producer.letter_file import LetterFile
from tests.support.letters import letter_record

ESCAPE = "\x1b]0;owned\x07\x9b31m\u202e"
ID = "a"


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert not set(done.output) & set(ESCAPE) - set("]0;owned31m"), repr(done.output)
    return done


def test_a_console_prints_styles_of_its_own_and_no_control_characters_of_others() -> None:
    table = Table("id")
    table.add_row(Text(f"x{ESCAPE}"))
    with console.out.capture() as capture:
        console.out.print(table, f"y{ESCAPE}\nz", soft_wrap=True)
    assert "\x9b" not in capture.get()
    assert r"x\u001b]0;owned" in capture.get()
    assert "\u202e\nz" not in capture.get()
    assert "\\u202e\nz" in capture.get()


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    value = json.dumps({"id": ID, "image": "s3://a/b", "labels": {f"l{ESCAPE}": ESCAPE}}, ensure_ascii=False)
    error = InvalidRequest(f"broken {ESCAPE}")
    letter = letter_record("letters", ID, value.encode(), error=error, headers=[(f"h\udcff{ESCAPE}", ESCAPE.encode())])
    record = Record(Partition("letters", 0), 0, 0, ESCAPE.encode(), letter.value or b"", letter.headers)
    monkeypatch.setattr(dead_letters, "_read", lambda: LetterFile([record], {0: 1}))


def test_dead_letters_are_shown_without_control_characters_and_json_stays_json(letters: None) -> None:
    assert "broken" in run("dead-letters", "list").stdout
    assert json.loads(run("dead-letters", "list", "--json").stdout)["labels"] == {f"l{ESCAPE}": ESCAPE}
    shown = json.loads(run("dead-letters", "show", ID).stdout)
    name = "hex:" + (b"h\xff" + ESCAPE.encode()).hex()
    assert (shown["key"], shown["headers"]) == (ESCAPE, [[name, ESCAPE]])


def test_results_are_printed_without_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"labels": {"x": ESCAPE}}, ensure_ascii=False)
    monkeypatch.setattr(following, "read_results", lambda *_, **__: [[line]])
    assert json.loads(run("results").stdout) == {"labels": {"x": ESCAPE}}
