from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from consumer.log import JsonLines, configure


def log_line(message: str, *args: object, level: int = logging.INFO, **fields: object) -> dict:
    logger = logging.Logger("consumer.loop")
    record = logger.makeRecord(
        logger.name, level, __file__, 1, message, args, fields.pop("exc_info", None), None, fields
    )
    text = JsonLines().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_an_event_is_one_json_line_with_its_fields() -> None:
    event = log_line("partitions %s", "lost", partitions=[0, 3], request=None)
    assert datetime.fromisoformat(event.pop("time")).tzinfo
    assert event == {"level": "info", "logger": "consumer.loop", "event": "partitions lost", "partitions": [0, 3]}


def test_a_message_of_several_lines_is_one_line_of_json() -> None:
    assert log_line("first\nsecond", path=Path("a"))["event"] == "first\nsecond"


def test_what_a_request_says_cannot_control_the_terminal() -> None:
    record = logging.makeLogRecord({"msg": "failed: \x1b[2J\x7f\x9b", "labels": {"\u202e": "\ud800"}})
    line = JsonLines().format(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == "failed: \x1b[2J\x7f\x9b"


def test_an_exception_is_in_the_line_of_its_event() -> None:
    try:
        raise ValueError("the cause")
    except ValueError:
        event = log_line("unexpected error", level=logging.ERROR, exc_info=sys.exc_info(), request="a")
    assert event["request"] == "a"
    assert "Traceback" in event["exception"]
    assert event["exception"].endswith("ValueError: the cause")


@pytest.mark.parametrize(
    ("statement", "event"),
    [
        ("fail()", "unexpected error, the worker ends: RuntimeError: bad"),
        (
            "t = threading.Thread(target=fail, name='a'); t.start(); t.join()",
            "unexpected error, thread a ends: ",
        ),
    ],
)
def test_an_error_that_nobody_handles_is_one_line_too(statement: str, event: str) -> None:
    program = f"""
import threading
from consumer.log import configure
def fail(): raise RuntimeError("bad" + chr(27) + chr(10) + "photo")
configure()
{statement}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert line.isprintable()
    assert json.loads(line)["event"].startswith(event)
    assert "in fail" in json.loads(line)["exception"]


@pytest.fixture
def restored_logging():
    root, kafka = logging.getLogger(), logging.getLogger("kafka")
    handlers, level, kafka_level = root.handlers[:], root.level, kafka.level
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    kafka.setLevel(kafka_level)


def test_the_log_goes_to_standard_error_without_the_clients_information(
    capsys: pytest.CaptureFixture[str], restored_logging: None
) -> None:
    # `configure` closes the handlers that it replaces, and pytest still needs its own.
    logging.getLogger().handlers.clear()
    configure()
    logging.getLogger("consumer").info("worker started", extra={"address": "http://127.0.0.1:1"})
    logging.getLogger("kafka.client").info("fetching")
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert json.loads(line)["address"] == "http://127.0.0.1:1"
    assert captured.out == ""
