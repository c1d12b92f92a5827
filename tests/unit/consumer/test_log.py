from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from pathlib import Path

import pytest

from consumer.log import JsonLines, configure


def line(message: str, *args: object, level: int = logging.INFO, **fields: object) -> dict:
    logger = logging.Logger("consumer.loop")
    record = logger.makeRecord(
        logger.name, level, __file__, 1, message, args, fields.pop("exc_info", None), None, fields
    )
    text = JsonLines().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_an_event_is_one_json_line_with_its_fields() -> None:
    event = line("partitions %s", "lost", partitions=[0, 3], request=None)
    assert datetime.fromisoformat(event.pop("time")).tzinfo
    assert event == {"level": "info", "logger": "consumer.loop", "event": "partitions lost", "partitions": [0, 3]}


def test_lines_in_a_message_stay_one_line() -> None:
    assert line("first\nsecond", path=Path("a"))["event"] == "first\nsecond"


def test_an_exception_is_part_of_its_line() -> None:
    try:
        raise ValueError("the cause")
    except ValueError:
        event = line("unexpected error", level=logging.ERROR, exc_info=sys.exc_info(), request="a")
    assert event["request"] == "a"
    assert "Traceback" in event["exception"]
    assert event["exception"].endswith("ValueError: the cause")


@pytest.fixture
def untouched_logging():
    root, kafka = logging.getLogger(), logging.getLogger("kafka")
    handlers, level, kafka_level = root.handlers[:], root.level, kafka.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    kafka.setLevel(kafka_level)


def test_it_goes_to_standard_error_and_the_client_narrates_nothing(
    capsys: pytest.CaptureFixture[str], untouched_logging: None
) -> None:
    # `configure` closes the handlers that it replaces, and pytest's are still needed.
    logging.getLogger().handlers.clear()
    configure()
    logging.getLogger("consumer").info("worker started", extra={"address": "http://127.0.0.1:1"})
    logging.getLogger("kafka.client").info("fetching")
    captured = capsys.readouterr()
    (only,) = captured.err.splitlines()
    assert json.loads(only)["address"] == "http://127.0.0.1:1"
    assert captured.out == ""
