"""The folding of kafka-python's log, with the messages that its own code writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cutstream.clients.kafka import fold_client_log

LOST, CONNECTED = "%s: Connection lost: %s", "%s: Connected"


class Collector(logging.Handler):
    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events

    def emit(self, record: logging.LogRecord) -> None:
        self.events.append(record.getMessage())


@pytest.fixture
def events() -> Iterator[list[str]]:
    """What arrives at the handlers of the root, where an application's log is."""
    root, client, connections = map(logging.getLogger, ("", "kafka", "kafka.net.connection"))
    before = (root.level, client.handlers, client.propagate, client.level, connections.level)
    collector = Collector([])
    root.addHandler(collector)
    root.setLevel(logging.INFO)
    fold_client_log()
    yield collector.events
    root.removeHandler(collector)
    client.handlers, client.propagate = before[1:3]
    for logger, level in zip((root, client, connections), (before[0], *before[3:]), strict=True):
        logger.setLevel(level)


def connection(node: object) -> SimpleNamespace:
    return SimpleNamespace(node_id=node)


def lose(node: object, why: str = "ECONNREFUSED") -> None:
    logging.getLogger("kafka.net.manager").error("Connection failed: %s", why)
    logging.getLogger("kafka.net.connection").error(LOST, connection(node), why)
    logging.getLogger("kafka.coordinator").warning("Marking the coordinator dead (node %s)", node)


def connect(node: object) -> None:
    logging.getLogger("kafka.net.connection").info(CONNECTED, connection(node))


def test_an_outage_is_one_line_and_its_end_another(events) -> None:
    for _ in range(20):
        lose(1)
        lose("coordinator-1")
    assert events == ["connection to broker 1 lost: ECONNREFUSED"]
    connect("coordinator-1")
    connect(1)
    assert len(events) == 2
    assert events[1].startswith("connected to broker 1 again after ")


def test_each_broker_is_told_apart(events) -> None:
    lose(1)
    connect(2)
    lose(3)
    assert [message[:27] for message in events] == [
        "connection to broker 1 lost",
        "connection to broker 3 lost",
    ]


def test_connecting_for_the_first_time_is_no_event(events) -> None:
    connect("bootstrap-0")
    connect(1)
    logging.getLogger("kafka.consumer.fetcher").info("fetching")
    assert events == []


def test_another_warning_passes_once_a_minute_and_an_unexpected_exception_always(events) -> None:
    for _ in range(3):
        logging.getLogger("kafka.coordinator.heartbeat").warning("Consumer poll timeout has expired")
    assert events == ["Consumer poll timeout has expired"]
    lose(1)
    for _ in range(2):
        try:
            raise ValueError("a bug")
        except ValueError:
            logging.getLogger("kafka.producer.sender").exception("Uncaught error")
    assert events[2:] == ["Uncaught error"] * 2
    try:
        raise ConnectionResetError
    except ConnectionResetError:
        logging.getLogger("kafka.net.transport").exception("Error receiving network data")
    assert len(events) == 4


@pytest.mark.parametrize(("module", "message"), [("kafka.net.connection", LOST), ("kafka.net.connection", CONNECTED)])
def test_the_client_still_says_it_in_these_words(module: str, message: str) -> None:
    import importlib
    import inspect

    assert repr(message) in inspect.getsource(importlib.import_module(module))
