"""Writing records outside a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cutstream.clients.kafka.errors import map_kafka_errors
from cutstream.clients.kafka.producers import CLOSE_S, DELIVERY_TIMEOUT_MS, close_producer, make_producer
from cutstream.clients.kafka.records import OutgoingRecord, Partition
from cutstream.clients.kafka.transactions import send
from cutstream.errors import CutstreamError
from cutstream.settings import KafkaSettings

_WRITE_TIMEOUT_S = DELIVERY_TIMEOUT_MS / 1000 + 5  # the producer reports first


class RecordWriter:
    """An idempotent producer for upstream systems and tools. One thread uses it.

    Records wait up to `linger_ms` for others that go to the same broker. After an error the producer is not used again:
    one that has given a record up may never write another.
    """

    def __init__(self, settings: KafkaSettings, linger_ms: int = 5) -> None:
        self._settings = settings
        self._linger_ms = linger_ms
        self._producer: Any = None

    def start(self) -> None:
        with map_kafka_errors():
            self._producer = make_producer(self._settings, linger_ms=self._linger_ms)

    def write(self, records: Iterable[OutgoingRecord]) -> dict[Partition, int]:
        """Write the records and return when the brokers have acknowledged all of them.

        They are sent in batches. Returns the offsets behind them, for each partition that got some.
        """
        ends: dict[Partition, int] = {}
        if self._producer is None:
            self.start()
        try:
            with map_kafka_errors():
                sent = [send(self._producer, record) for record in records]
                for future in sent:
                    written = future.get(timeout=_WRITE_TIMEOUT_S)
                    partition = Partition(written.topic, written.partition)
                    ends[partition] = max(ends.get(partition, 0), written.offset + 1)
        except CutstreamError:
            self.close()
            raise
        return ends

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer, CLOSE_S)
