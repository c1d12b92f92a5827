"""Writes rows with kafka-python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer

from tests.support.foreign_clients.rows import Row, Writer, by_writer

TIMEOUT_S = 30


def write(address: str, rows: Sequence[Row], topics: Mapping[str, str]) -> None:
    for number, (writer, group) in enumerate(by_writer(rows)):
        producer = KafkaProducer(bootstrap_servers=address, **_options(writer, f"{topics['requests']}-{number}"))
        try:
            if writer.transaction:
                producer.init_transactions()
                producer.begin_transaction()
            futures = [producer.send(topics[row.topic], **_record(row)) for row in group]
            producer.flush(TIMEOUT_S)
            for future in futures:
                future.get(TIMEOUT_S)
            if writer.transaction == "committed":
                producer.commit_transaction()
            elif writer.transaction == "aborted":
                producer.abort_transaction()
        finally:
            producer.close()


def _options(writer: Writer, transactional_id: str) -> dict[str, Any]:
    options = {
        "compression_type": None if writer.codec == "none" else writer.codec,
        "acks": writer.acks if writer.acks == "all" else int(writer.acks),
        "enable_idempotence": writer.idempotent or bool(writer.transaction),
        "linger_ms": writer.linger_ms,
        **dict(writer.options),
    }
    return options | ({"transactional_id": transactional_id} if writer.transaction else {})


def _record(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "value": row.value,
        "headers": list(row.headers),
        "partition": row.partition,
        "timestamp_ms": row.timestamp_ms,
    }
