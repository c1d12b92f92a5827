"""Writing records outside a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cutstream.clients.kafka.errors import map_kafka_errors
from cutstream.clients.kafka.producers import CLOSE_S, DELIVERY_TIMEOUT_MS, close_producer, make_producer
from cutstream.clients.kafka.records import OutgoingRecord
from cutstream.clients.kafka.transactions import send
from cutstream.settings import KafkaSettings

_WRITE_TIMEOUT_S = DELIVERY_TIMEOUT_MS / 1000 + 5  # the producer reports first


class RecordWriter:
    """An idempotent producer for upstream systems and tools."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Any = None

    def start(self) -> None:
        with map_kafka_errors():
            self._producer = make_producer(self._settings, linger_ms=5)

    def write(self, records: Iterable[OutgoingRecord]) -> None:
        """Write the records and return when the brokers have acknowledged all of them."""
        with map_kafka_errors():
            sent = [send(self._producer, record) for record in records]
            for future in sent:
                future.get(timeout=_WRITE_TIMEOUT_S)

    def close(self) -> None:
        if self._producer is not None:
            close_producer(self._producer, CLOSE_S)
