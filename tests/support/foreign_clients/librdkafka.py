"""Writes rows with confluent-kafka, which is librdkafka, and reads topics with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from tests.support.foreign_clients.rows import Row, Writer, Written, by_writer

TIMEOUT_S = 30


def write(address: str, rows: Sequence[Row], topics: Mapping[str, str]) -> None:
    for number, (writer, group) in enumerate(by_writer(rows)):
        producer = Producer(_options(writer, f"{topics['requests']}-{number}-rd") | {"bootstrap.servers": address})
        if writer.transaction:
            producer.init_transactions(TIMEOUT_S)
            producer.begin_transaction()
        refused: list[KafkaError] = []
        for row in group:
            producer.produce(topics[row.topic], on_delivery=partial(_note, refused), **_record(row))
        assert producer.flush(TIMEOUT_S) == 0
        assert not refused, refused
        if writer.transaction == "committed":
            producer.commit_transaction(TIMEOUT_S)
        elif writer.transaction == "aborted":
            producer.abort_transaction(TIMEOUT_S)


def _note(refused: list[KafkaError], error: KafkaError | None, _: Message) -> None:
    if error is not None:
        refused.append(error)


def _options(writer: Writer, transactional_id: str) -> dict[str, Any]:
    options = {
        "compression.type": writer.codec,
        "acks": writer.acks,
        "enable.idempotence": writer.idempotent or bool(writer.transaction),
        "linger.ms": writer.linger_ms,
        **dict(writer.options),
    }
    return options | ({"transactional.id": transactional_id} if writer.transaction else {})


def _record(row: Row) -> dict[str, Any]:
    named = dict(row.headers)
    headers = named if len(named) == len(row.headers) else list(row.headers)  # it takes both
    partition = {} if row.partition is None else {"partition": row.partition}
    timestamp = {} if row.timestamp_ms is None else {"timestamp": row.timestamp_ms}
    return {"key": row.key, "value": row.value, "headers": headers, **partition, **timestamp}


class Reader:
    """Reads whole topics, as a program that knows nothing of cutstream would.

    confluent-kafka 2.16 raises SystemError for the headers of a record with a name that is not UTF-8, so it reads
    headers only if it is told to.
    """

    def __init__(self, address: str, *topics: str, isolation: str = "read_committed", headers: bool = False) -> None:
        self._headers = headers
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "unused",
                "enable.auto.commit": False,
                "isolation.level": isolation,
                "enable.partition.eof": True,
            }
        )
        described = self._consumer.list_topics(timeout=TIMEOUT_S).topics
        places = [(topic, number) for topic in topics for number in described[topic].partitions]
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in places])
        self._count = len(places)

    def read(self, timeout_s: float) -> list[Written]:
        """Return what comes next. Nothing, if nothing came before the time was over."""
        messages = self._consumer.consume(1000, timeout_s)
        return [self._written(message) for message in messages if message.error() is None]

    def read_all(self) -> list[Written]:
        """Return everything up to the end of every partition."""
        records: list[Written] = []
        ends: set[tuple[str, int]] = set()
        deadline = time.monotonic() + TIMEOUT_S
        while len(ends) < self._count:
            assert time.monotonic() < deadline, f"the ends of {self._count - len(ends)} partitions are not reached"
            for message in self._consumer.consume(1000, 0.2):
                if message.error() is None:
                    records.append(self._written(message))
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ends.add((message.topic(), message.partition()))
        return records

    def close(self) -> None:
        self._consumer.close()

    def _written(self, message: Message) -> Written:
        place = message.topic(), message.partition(), message.offset(), message.timestamp()[1]
        headers = tuple(message.headers() or ()) if self._headers else ()
        return Written(*place, message.key(), message.value(), headers)


def read_all(address: str, *topics: str, isolation: str = "read_committed") -> list[Written]:
    reader = Reader(address, *topics, isolation=isolation)
    try:
        return reader.read_all()
    finally:
        reader.close()


def commit(address: str, group: str, topic: str, partition: int, offset: int) -> None:
    """Commit an offset for a group that has no members."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group})
    try:
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
    finally:
        consumer.close()


def committed(address: str, group: str, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the offsets that a group has committed."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group})
    try:
        answers = consumer.committed([TopicPartition(*place) for place in places], TIMEOUT_S)
    finally:
        consumer.close()
    return {(answer.topic, answer.partition): answer.offset for answer in answers}


def create_topic(address: str, topic: str, partitions: int, config: Mapping[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    for future in admin.create_topics([NewTopic(topic, partitions, 1, config=dict(config))]).values():
        future.result(TIMEOUT_S)


def delete_before(address: str, topic: str, partition: int, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    for future in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        future.result(TIMEOUT_S)


@contextmanager
def eager_log_cleaner(address: str) -> Iterator[None]:
    """Have the only broker look twice a second for what it can compact."""
    admin = AdminClient({"bootstrap.servers": address})
    (broker,) = admin.list_topics(timeout=TIMEOUT_S).brokers

    def alter(operation: AlterConfigOpType, value: str | None) -> None:
        entry = ConfigEntry("log.cleaner.backoff.ms", value, incremental_operation=operation)
        resource = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(TIMEOUT_S)

    alter(AlterConfigOpType.SET, "500")
    try:
        yield
    finally:
        alter(AlterConfigOpType.DELETE, None)
