from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from cutstream.log import JsonLines, TextLines, configure


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
        ("fail()", "unexpected error, the process ends: RuntimeError: bad"),
        (
            "t = threading.Thread(target=fail, name='a'); t.start(); t.join()",
            "unexpected error, thread a ends: ",
        ),
    ],
)
def test_an_error_that_nobody_handles_is_one_line_too(statement: str, event: str) -> None:
    program = f"""
import threading
from cutstream.log import configure
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
    root = logging.getLogger()
    loggers = [logging.getLogger(name) for name in ("", "commands", "consumer", "cutstream", "kafka")]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = handlers
    logging.captureWarnings(False)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_the_log_goes_to_standard_error_without_the_clients_information(
    capsys: pytest.CaptureFixture[str], restored_logging: None
) -> None:
    # `configure` closes the handlers that it replaces, and pytest still needs its own.
    logging.getLogger().handlers.clear()
    configure()
    logging.getLogger("consumer").info("worker started", extra={"address": "http://127.0.0.1:1"})
    logging.getLogger("kafka.client").info("fetching")
    logging.getLogger("another.package").info("chatting")
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert json.loads(line)["address"] == "http://127.0.0.1:1"
    assert captured.out == ""


def text_line(**fields: object) -> str:
    record = logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO", "created": 0.25, **fields})
    return TextLines().format(record)


def test_on_a_terminal_an_event_is_a_line_for_people() -> None:
    line = text_line(msg="failed: %s", args=("no\nphoto",), request="a", code="unexpected", stage=None)
    time, rest = line.split(" ", 1)
    assert datetime.strptime(time, "%H:%M:%S.%f").microsecond == 250_000
    assert rest == "failed: no\\nphoto  request=a  code=unexpected"
    warning = text_line(msg="waiting", levelno=logging.WARNING, levelname="WARNING")
    assert warning.endswith(" WARNING: waiting")


def test_on_a_terminal_a_stack_trace_is_further_in_and_nothing_controls_the_terminal() -> None:
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        lines = text_line(msg="unexpected error \x1b[2J", exc_info=sys.exc_info()).splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) > 2
    assert all(line.startswith("    ") for line in lines[1:])


def test_the_form_follows_the_stream_and_warnings_are_events(restored_logging: None) -> None:
    program = "import warnings; from cutstream.log import configure; configure(); warnings.warn('old')"
    main, side = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stderr=side, timeout=60, check=True)
    shown = os.read(main, 65_536).decode()
    os.close(main)
    os.close(side)
    assert " WARNING: " in shown
    assert "UserWarning: old" in shown
    assert shown.count("\n") == 1
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "UserWarning: old" in json.loads(done.stderr)["event"]
