"""The table of dead letters."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from commands.console import width_of
from commands.dead_letters import _table, _time
from cutstream.clients.kafka import Partition, Record
from cutstream.errors import InvalidRequest
from producer.letter_file import LetterFile
from tests.support.letters import letter_record


def filed(message: str, timestamp_ms: int = 0) -> LetterFile:
    letter = letter_record("letters", "order-1", b"{", error=InvalidRequest(message))
    record = Record(Partition("letters", 0), 0, timestamp_ms, letter.key, letter.value or b"", letter.headers)
    return LetterFile([record], {0: 1})


def test_in_a_pipe_a_letter_is_one_line_whatever_its_message() -> None:
    file = filed("first line\nsecond \x1b[31mline " + "x" * 900)
    written = StringIO()
    Console(file=written, width=width_of(written)).print(_table(file, file.letters))
    _, line = written.getvalue().splitlines()
    assert "order-1" in line
    assert "first line second \\u001b[31mline xxx" in line
    assert line.rstrip().endswith("open")


def test_any_time_of_a_record_can_be_shown() -> None:
    for timestamp_ms, text in ((0, "1970-01-01T00:00:00Z"), (2**62, f"{2**62} ms"), (-(2**62), f"{-(2**62)} ms")):
        (entry,) = filed("no", timestamp_ms).letters
        assert _time(entry) == text
