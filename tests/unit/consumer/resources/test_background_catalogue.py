"""The worker's view of the catalogue, with a topic that does what it is told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest

from consumer.resources import background_catalogue as module
from consumer.resources.background_catalogue import BackgroundCatalogue
from cutstream.clients.kafka import NoTopic, Partition, Record
from cutstream.contract.backgrounds import Entry, encode
from cutstream.errors import BrokerUnavailable, ConfigurationError, UnknownBackground
from cutstream.settings import KafkaSettings


def entry(number: int) -> Entry:
    added = datetime(2030, 1, 1, tzinfo=timezone.utc)
    return Entry(uri=f"s3://ours/{number}", sha256="0" * 64, bytes=1, width=1, height=1, added=added)


class Topic:
    """`records` are (name, entry or None); a poll gives one. `trouble` is raised by `start`, `broken` by the next poll.

    A poll waits while `held`.
    """

    def __init__(self) -> None:
        self.records: list[tuple[str, Entry | None]] = []
        self.trouble: Exception | None = None
        self.broken: Exception | None = None
        self.go = threading.Event()
        self.go.set()
        self.opened = self.closed = 0

    def reader(self, settings: KafkaSettings, topic: str, **_: object) -> Reader:
        assert topic == settings.backgrounds_topic
        return Reader(self)


class Reader:
    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._read = 0

    def start(self) -> None:
        self._topic.opened += 1
        if self._topic.trouble:
            raise self._topic.trouble
        self._end = len(self._topic.records)

    @property
    def caught_up(self) -> bool:
        return self._read >= self._end

    def poll(self, timeout_s: float) -> list[Record]:
        self._topic.go.wait(20)
        if broken := self._topic.broken:
            self._topic.broken = None
            raise broken
        found = self._topic.records[self._read : self._read + 1]
        self._read += len(found)
        if not found:
            time.sleep(0.002)
        return [Record(Partition("b", 0), 0, 0, n.encode(), encode(e) if e else b"", []) for n, e in found]

    def close(self) -> None:
        self._topic.closed += 1


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic()
    monkeypatch.setattr(module, "TopicReader", topic.reader)
    monkeypatch.setattr(module, "_RETRY_S", 0.002)
    return topic


@pytest.fixture
def known() -> list[float]:
    return []


@pytest.fixture
def catalogue(topic: Topic, known: list[float]) -> Iterator[BackgroundCatalogue]:
    catalogue = BackgroundCatalogue(KafkaSettings(), known.append)
    yield catalogue
    topic.go.set()
    catalogue.close()
    assert topic.closed == topic.opened


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def knows(catalogue: BackgroundCatalogue, name: str, number: int) -> bool:
    try:
        return catalogue.entry(name) == entry(number)
    except UnknownBackground:
        return False


def test_it_is_ready_when_all_is_read_and_not_sooner(
    topic: Topic, catalogue: BackgroundCatalogue, known: list[float]
) -> None:
    topic.records = [("beach", entry(1)), ("wood", entry(2)), ("beach", entry(3))]
    topic.go.clear()
    catalogue.start()
    until(lambda: topic.opened)
    assert not catalogue.ready
    with pytest.raises(BrokerUnavailable, match="not been read yet"):
        catalogue.entry("beach")
    topic.go.set()
    until(lambda: catalogue.ready)
    assert catalogue.entry("beach") == entry(3)
    assert known == [2]  # never less, and never an older picture


def test_what_is_written_later_is_followed(topic: Topic, catalogue: BackgroundCatalogue, known: list[float]) -> None:
    catalogue.start()
    until(lambda: catalogue.ready)
    topic.records.append(("beach", entry(1)))
    until(lambda: knows(catalogue, "beach", 1))
    topic.records.append(("beach", entry(2)))
    until(lambda: knows(catalogue, "beach", 2))
    topic.records.append(("beach", None))
    until(lambda: known[-1] == 0)
    with pytest.raises(UnknownBackground):
        catalogue.entry("beach")


def test_an_unknown_name_is_told_what_is_near(topic: Topic, catalogue: BackgroundCatalogue) -> None:
    topic.records = [("beach", entry(1)), ("wood", entry(2))]
    catalogue.start()
    until(lambda: catalogue.ready)
    with pytest.raises(UnknownBackground, match=r"'beech' is not in the catalogue; did you mean `beach`\?"):
        catalogue.entry("beech")
    with pytest.raises(UnknownBackground) as raised:
        catalogue.entry("x" * 4096)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("trouble", [NoTopic("no such topic"), ConfigurationError("Kafka refuses this client")])
def test_without_a_topic_it_is_empty_says_so_once_and_finds_it_later(
    topic: Topic, catalogue: BackgroundCatalogue, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    topic.trouble = trouble
    with caplog.at_level(logging.WARNING):
        catalogue.start()
        until(lambda: topic.opened > 3)
    assert catalogue.ready
    assert [record.getMessage() for record in caplog.records] == [f"background catalogue: {trouble}"]
    with pytest.raises(UnknownBackground, match="which is empty: `cutstream backgrounds add`"):
        catalogue.entry("beach")
    topic.records, topic.trouble = [("beach", entry(1))], None
    until(lambda: knows(catalogue, "beach", 1))


def test_while_no_broker_answers_it_is_not_ready(topic: Topic, catalogue: BackgroundCatalogue) -> None:
    topic.trouble = BrokerUnavailable("nobody there")
    catalogue.start()
    until(lambda: topic.opened > 3)
    assert not catalogue.ready
    topic.trouble = None
    until(lambda: catalogue.ready)


def test_in_trouble_it_keeps_what_it_knows_and_never_goes_back(
    topic: Topic, catalogue: BackgroundCatalogue, known: list[float]
) -> None:
    topic.records = [("beach", entry(1)), ("wood", entry(2)), ("wood", None), ("beach", entry(3))]
    catalogue.start()
    until(lambda: catalogue.ready)
    topic.trouble = topic.broken = BrokerUnavailable("gone")
    until(lambda: topic.opened > 3)
    assert catalogue.entry("beach") == entry(3)
    topic.go.clear()
    topic.trouble, opened = None, topic.opened
    until(lambda: topic.opened > opened)
    assert catalogue.entry("beach") == entry(3)
    topic.records.append(("wood", entry(4)))
    topic.go.set()
    until(lambda: knows(catalogue, "wood", 4))
    assert known == [1, 2] or known == [1, 1, 2]


def test_a_topic_that_is_taken_away_leaves_what_was_known(topic: Topic, catalogue: BackgroundCatalogue) -> None:
    topic.records = [("beach", entry(1))]
    catalogue.start()
    until(lambda: catalogue.ready)
    topic.trouble, topic.broken = NoTopic("no such topic"), BrokerUnavailable("gone")
    until(lambda: topic.opened > 3)
    assert catalogue.entry("beach") == entry(1)


def test_a_topic_made_anew_is_read_anew(topic: Topic, catalogue: BackgroundCatalogue, known: list[float]) -> None:
    topic.records = [("beach", entry(1)), ("wood", entry(2))]
    catalogue.start()
    until(lambda: catalogue.ready)
    topic.go.clear()
    topic.records, topic.broken = [("wood", entry(5))], BrokerUnavailable("gone")
    topic.go.set()
    until(lambda: knows(catalogue, "wood", 5))
    assert known == [2, 1]


@pytest.mark.logs_errors
def test_a_bug_while_reading_is_logged_and_reading_begins_anew(
    topic: Topic, catalogue: BackgroundCatalogue, caplog: pytest.LogCaptureFixture
) -> None:
    topic.records, topic.broken = [("beach", entry(1))], ZeroDivisionError("bug")
    catalogue.start()
    until(lambda: catalogue.ready)
    assert catalogue.entry("beach") == entry(1)
    assert "ZeroDivisionError" in caplog.text
