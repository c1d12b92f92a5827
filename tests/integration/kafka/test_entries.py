"""Entries of compacted topics on a real broker: what an open transaction of another program does to their writers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from cutstream.clock import SystemClock
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings
from producer import reading
from producer.cancelling import cancel, list_cancellations

pytestmark = pytest.mark.kafka


@pytest.fixture
def stranger(kafka_settings: KafkaSettings) -> Iterator[KafkaProducer]:
    """A program with an open transaction on the topic of cancellations."""
    producer = KafkaProducer(bootstrap_servers=kafka_settings.bootstrap_servers, transactional_id="stranger")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(kafka_settings.cancellations_topic, b"{}", key=b"open").get(10)
    yield producer
    producer.close()


def test_a_cancellation_that_no_worker_can_see_yet_is_not_called_done(
    kafka_settings: KafkaSettings, stranger: KafkaProducer, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(reading, "_SILENT_POLLS", 2)
    monkeypatch.setattr(reading, "_STALLED_POLLS", 4)
    with pytest.raises(BrokerUnavailable, match=r"written, but not seen by the workers yet: a transaction on topic"):
        cancel(kafka_settings, ["a"], {}, SystemClock())
    assert "waiting up to a minute for a transaction that is open" in caplog.text
    stranger.abort_transaction()
    cancel(kafka_settings, ["b"], {}, SystemClock())
    assert [entry.id for entry in list_cancellations(kafka_settings, SystemClock())] == ["a", "b"]
