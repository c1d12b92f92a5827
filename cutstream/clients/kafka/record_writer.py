"""Writing records outside a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kafka import KafkaProducer

from cutstream.clients.kafka.connection import connection_options
from cutstream.clients.kafka.errors import map_kafka_errors
from cutstream.clients.kafka.records import MAX_RECORD_BYTES, OutgoingRecord
from cutstream.clients.kafka.transactions import send
from cutstream.settings import KafkaSettings


class RecordWriter:
    """An idempotent producer for upstream systems and tools."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Any = None

    def start(self) -> None:
        with map_kafka_errors():
            self._producer = KafkaProducer(
                linger_ms=5, max_request_size=MAX_RECORD_BYTES, **connection_options(self._settings)
            )

    def write(self, records: Iterable[OutgoingRecord]) -> None:
        """Write the records and return when the brokers have acknowledged all of them."""
        with map_kafka_errors():
            sent = [send(self._producer, record) for record in records]
            for future in sent:
                future.get(timeout=30)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=5)
