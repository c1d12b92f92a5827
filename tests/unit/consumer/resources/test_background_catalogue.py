"""The worker's catalogue of backgrounds follows its topic, here a fake that fails or blocks on command."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest

from consumer.resources import topic_copy as module
from consumer.resources.background_catalogue import BackgroundCatalogue
from cutstream.clients.kafka import NoTopic, Partition, Record, UnreadableRecords
from cutstream.contract.backgrounds import Entry, encode
from cutstream.errors import BrokerUnavailable, ConfigurationError, UnknownBackground
from cutstream.settings import KafkaSettings


def entry(number: int) -> Entry:
    added = datetime(2030, 1, 1, tzinfo=timezone.utc)
    return Entry(uri=f"s3://ours/{number}", sha256="0" * 64, bytes=1, width=1, height=1, added=added)


class Topic:
    """A topic in memory.

    `records` are (name, entry or None); each poll returns one. A reader's `start` raises `start_error`, and its next
    poll raises `poll_error`. Polls block until `polls_allowed` is set.
    """

    def __init__(self) -> None:
        self.records: list[tuple[str, Entry | None]] = []
        self.start_error: Exception | None = None
        self.poll_error: Exception | None = None
        self.polls_allowed = threading.Event()
        self.polls_allowed.set()
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
        if self._topic.start_error:
            raise self._topic.start_error
        self._end = len(self._topic.records)

    @property
    def caught_up(self) -> bool:
        return self._read >= self._end

    def poll(self, timeout_s: float) -> list[Record]:
        self._topic.polls_allowed.wait(20)
        if error := self._topic.poll_error:
            self._topic.poll_error = None
            raise error
        records = self._topic.records[self._read : self._read + 1]
        self._read += len(records)
        if not records:
            time.sleep(0.002)
        return [Record(Partition("b", 0), 0, 0, n.encode(), encode(e) if e else b"", []) for n, e in records]

    def close(self) -> None:
        self._topic.closed += 1


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic()
    monkeypatch.setattr(module, "TopicReader", topic.reader)
    monkeypatch.setattr(module, "_RETRY_S", 0.002)
    return topic


@pytest.fixture
def sizes() -> list[float]:
    """The numbers of entries that the catalogue has reported."""
    return []


@pytest.fixture
def catalogue(topic: Topic, sizes: list[float]) -> Iterator[BackgroundCatalogue]:
    catalogue = BackgroundCatalogue(KafkaSettings(), sizes.append)
    yield catalogue
    topic.polls_allowed.set()
    catalogue.close()
    assert topic.closed == topic.opened


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def knows(catalogue: BackgroundCatalogue, name: str, number: int) -> bool:
    try:
        return catalogue.entry(name) == entry(number)
    except UnknownBackground:
        return False


def test_it_is_ready_only_when_the_whole_topic_is_read(
    topic: Topic, catalogue: BackgroundCatalogue, sizes: list[float]
) -> None:
    topic.records = [("beach", entry(1)), ("wood", entry(2)), ("beach", entry(3))]
    topic.polls_allowed.clear()
    catalogue.start()
    wait_until(lambda: topic.opened)
    assert not catalogue.ready
    with pytest.raises(BrokerUnavailable, match="not been read yet"):
        catalogue.entry("beach")
    topic.polls_allowed.set()
    wait_until(lambda: catalogue.ready)
    assert catalogue.entry("beach") == entry(3)
    assert sizes == [2]  # it never reported fewer entries


def test_later_records_change_the_catalogue(topic: Topic, catalogue: BackgroundCatalogue, sizes: list[float]) -> None:
    catalogue.start()
    wait_until(lambda: catalogue.ready)
    topic.records.append(("beach", entry(1)))
    wait_until(lambda: knows(catalogue, "beach", 1))
    topic.records.append(("beach", entry(2)))
    wait_until(lambda: knows(catalogue, "beach", 2))
    topic.records.append(("beach", None))
    wait_until(lambda: sizes[-1] == 0)
    with pytest.raises(UnknownBackground):
        catalogue.entry("beach")


def test_the_error_for_an_unknown_name_suggests_a_similar_one(topic: Topic, catalogue: BackgroundCatalogue) -> None:
    topic.records = [("beach", entry(1)), ("wood", entry(2))]
    catalogue.start()
    wait_until(lambda: catalogue.ready)
    with pytest.raises(UnknownBackground, match=r"'beech' is not in the catalogue; did you mean `beach`\?"):
        catalogue.entry("beech")
    with pytest.raises(UnknownBackground) as raised:
        catalogue.entry("x" * 4096)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("error", [NoTopic("no such topic"), ConfigurationError("Kafka refuses this client")])
def test_without_a_topic_it_is_empty_and_warns_once_until_the_topic_exists(
    topic: Topic, catalogue: BackgroundCatalogue, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    topic.start_error = error
    with caplog.at_level(logging.WARNING):
        catalogue.start()
        wait_until(lambda: topic.opened > 3)
    assert catalogue.ready
    assert [record.getMessage() for record in caplog.records] == [f"background catalogue: {error}"]
    with pytest.raises(UnknownBackground, match="which is empty: `cutstream backgrounds add`"):
        catalogue.entry("beach")
    topic.records, topic.start_error = [("beach", entry(1))], None
    wait_until(lambda: knows(catalogue, "beach", 1))


def test_it_is_not_ready_until_a_broker_answers(topic: Topic, catalogue: BackgroundCatalogue) -> None:
    topic.start_error = BrokerUnavailable("no broker")
    catalogue.start()
    wait_until(lambda: topic.opened > 3)
    assert not catalogue.ready
    topic.start_error = None
    wait_until(lambda: catalogue.ready)


def test_while_the_broker_is_away_it_keeps_its_entries_and_never_shows_older_ones(
    topic: Topic, catalogue: BackgroundCatalogue, sizes: list[float]
) -> None:
    topic.records = [("beach", entry(1)), ("wood", entry(2)), ("wood", None), ("beach", entry(3))]
    catalogue.start()
    wait_until(lambda: catalogue.ready)
    topic.start_error = topic.poll_error = BrokerUnavailable("gone")
    wait_until(lambda: topic.opened > 3)
    assert catalogue.entry("beach") == entry(3)
    topic.polls_allowed.clear()
    topic.start_error, opened = None, topic.opened
    wait_until(lambda: topic.opened > opened)
    assert catalogue.entry("beach") == entry(3)
    topic.records.append(("wood", entry(4)))
    topic.polls_allowed.set()
    wait_until(lambda: knows(catalogue, "wood", 4))
    assert sizes == [1, 2] or sizes == [1, 1, 2]


@pytest.mark.logs_errors
def test_before_an_unreadable_record_it_is_not_ready_and_reads_ever_more_rarely(
    topic: Topic, catalogue: BackgroundCatalogue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_RETRY_S", 0.01)
    topic.records = [("beach", entry(1))]
    catalogue.start()
    wait_until(lambda: catalogue.ready)
    topic.start_error = topic.poll_error = UnreadableRecords("backgrounds-0 cannot be read at offset 1")
    wait_until(lambda: topic.opened > 5)
    assert not catalogue.ready
    assert catalogue.entry("beach") == entry(1), "what is known stays in use"
    pauses = [m.partition("again in ")[2].partition(" s.")[0] for m in caplog.messages if "cannot be read" in m]
    assert pauses[:5] == ["0.002", "0.004", "0.008", "0.01", "0.01"]
    topic.start_error = None
    wait_until(lambda: catalogue.ready)


def test_a_deleted_topic_leaves_the_known_entries(topic: Topic, catalogue: BackgroundCatalogue) -> None:
    topic.records = [("beach", entry(1))]
    catalogue.start()
    wait_until(lambda: catalogue.ready)
    topic.start_error, topic.poll_error = NoTopic("no such topic"), BrokerUnavailable("gone")
    wait_until(lambda: topic.opened > 3)
    assert catalogue.entry("beach") == entry(1)


def test_a_recreated_topic_is_read_from_its_start(
    topic: Topic, catalogue: BackgroundCatalogue, sizes: list[float]
) -> None:
    topic.records = [("beach", entry(1)), ("wood", entry(2))]
    catalogue.start()
    wait_until(lambda: catalogue.ready)
    topic.polls_allowed.clear()
    topic.records, topic.poll_error = [("wood", entry(5))], BrokerUnavailable("gone")
    topic.polls_allowed.set()
    wait_until(lambda: knows(catalogue, "wood", 5))
    assert sizes == [2, 1]


@pytest.mark.logs_errors
def test_an_unexpected_error_is_logged_and_the_topic_is_read_again(
    topic: Topic, catalogue: BackgroundCatalogue, caplog: pytest.LogCaptureFixture
) -> None:
    topic.records, topic.poll_error = [("beach", entry(1))], ZeroDivisionError("bug")
    catalogue.start()
    wait_until(lambda: catalogue.ready)
    assert catalogue.entry("beach") == entry(1)
    assert "ZeroDivisionError" in caplog.text
