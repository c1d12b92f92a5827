"""Which requests are called off, and that none is admitted before the topic has been read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import ClassVar

import pytest

from consumer.intake import cancellations as module
from consumer.intake.cancellations import Cancellations
from consumer.resources import topic_copy
from cutstream.clients.kafka import NoTopic, Partition, Record, UnreadableRecords
from cutstream.clock import ManualClock
from cutstream.contract.cancellations import Cancellation, apply, encode, key_of
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.errors import BrokerUnavailable, Cancelled
from cutstream.settings import KafkaSettings
from tests.support.jobs import job_of

CLOCK = ManualClock()
NOW = datetime.fromtimestamp(CLOCK.wall(), timezone.utc)
NOW_MS = int(CLOCK.wall() * 1000)


def cancellation(id: str | None = None, **labels: str) -> Cancellation:
    return Cancellation(id=id, labels=labels, cancelled=NOW, expires=NOW + timedelta(days=1))


class StubReader:
    """Reads `held`, or raises `error`. The topic never ends while `held` is None."""

    held: ClassVar[list[Cancellation] | None] = []
    error: ClassVar[Exception | None] = None

    def __init__(self, *_: object, **__: object) -> None:
        self._read = False

    def start(self) -> None:
        if self.error:
            raise self.error

    @property
    def caught_up(self) -> bool:
        return self._read

    def poll(self, timeout_s: float) -> list[Record]:
        if self._read or self.held is None:
            time.sleep(0.002)
            return []
        self._read = True
        return [
            Record(Partition("c", 0), n, 0, key_of(c.id, c.labels).encode(), encode(c), [])
            for n, c in enumerate(self.held)
        ]

    def close(self) -> None: ...


@pytest.fixture
def cancellations(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cancellations]:
    monkeypatch.setattr(topic_copy, "TopicReader", StubReader)
    monkeypatch.setattr(topic_copy, "_RETRY_S", 0.01)
    monkeypatch.setattr(module, "_START_TIMEOUT_S", 0.2)
    with closing(Cancellations(KafkaSettings(), CLOCK)) as opened:
        yield opened


def record(value: bytes, written_ms: int, headers=()) -> Record:
    return Record(Partition("requests", 1), 5, written_ms, None, value, list(headers))


def refused(cancellations: Cancellations, value: bytes, written_ms: int = NOW_MS - 1, headers=()) -> bool:
    try:
        cancellations.refuse_record(record(value, written_ms, headers))
    except Cancelled:
        return True
    return False


def test_a_request_is_refused_by_its_id_or_by_all_the_labels_if_it_was_written_before(
    cancellations: Cancellations, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [cancellation("a"), cancellation(batch="7"), cancellation(shop="1", day="mon"), cancellation("requests-1-5")]
    monkeypatch.setattr(StubReader, "held", held)
    cancellations.start()
    assert refused(cancellations, b'{"id": "a", "image": "s3://a/b"}')
    assert not refused(cancellations, b'{"id": "a", "image": "s3://a/b"}', NOW_MS)
    assert not refused(cancellations, b'{"id": "aa"}')
    assert refused(cancellations, b'{"id": "b", "labels": {"batch": "7", "shop": "2"}, "nope": 1}'), "a broken one"
    assert refused(cancellations, b'{"id": "b", "labels": {"day": "mon", "shop": "1", "x": "y"}}')
    assert not refused(cancellations, b'{"id": "b", "labels": {"day": "tue", "shop": "1"}}')
    assert refused(cancellations, b"{"), "the id of a request without one is its topic, partition and offset"


def test_a_redelivered_request_is_as_old_as_its_first_record(
    cancellations: Cancellations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubReader, "held", [cancellation("a")])
    cancellations.start()
    for written_ms, expected in ((NOW_MS - 1, True), (NOW_MS, False)):
        origin = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=written_ms)
        headers = redelivery_headers([], Redelivery(origin))
        assert refused(cancellations, b'{"id": "a"}', NOW_MS + 1000, headers) is expected


def test_an_admitted_job_is_refused_with_the_reason_and_an_expired_cancellation_is_ignored(
    cancellations: Cancellations, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Cancellation(id="b", cancelled=NOW, expires=NOW)
    monkeypatch.setattr(StubReader, "held", [cancellation(batch="7"), old])
    cancellations.start()
    with pytest.raises(Cancelled, match=r"cancelled at 2023-11-14T.*\(batch=7\)"):
        cancellations.refuse(job_of(labels={"batch": "7"}))
    cancellations.refuse(job_of(id="b"))


def test_it_starts_only_when_the_topic_has_been_read(
    cancellations: Cancellations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubReader, "held", None)
    with pytest.raises(BrokerUnavailable, match="not been read yet"):
        cancellations.start()
    assert not cancellations.ready
    monkeypatch.setattr(StubReader, "held", [])
    cancellations.start()
    assert cancellations.ready


@pytest.mark.logs_errors
def test_it_does_not_start_before_a_record_that_cannot_be_read(
    cancellations: Cancellations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubReader, "error", UnreadableRecords("cancellations-0 cannot be read at offset 5"))
    with pytest.raises(BrokerUnavailable, match="not been read yet"):
        cancellations.start()
    assert not cancellations.ready


def test_without_its_topic_it_does_not_start(cancellations: Cancellations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubReader, "error", NoTopic("no such topic"))
    with pytest.raises(NoTopic):
        cancellations.start()


def test_the_last_record_of_a_key_counts_and_a_bad_record_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    entries: dict[str, Cancellation] = {}
    key = key_of("a", {}).encode()
    apply(entries, key, encode(cancellation("a")))
    apply(entries, b"id:b", b'{"cancelled": "2030-01-01T00:00:00Z", "expires": "2030-01-01T00:00:00Z"}')
    assert entries == {"id:a": cancellation("a")}
    assert "either an id or labels" in caplog.text
    apply(entries, key, b"")
    assert entries == {}
    assert key_of(None, {"b": "1", "a": "2"}) == key_of(None, {"a": "2", "b": "1"})
