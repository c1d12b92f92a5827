"""Transactions: the producer that opens them, and records that are written all or not at all.

After an error the producer is never used again (trap 1 of the package's docstring).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError

from cutstream.clients.kafka.connection import connection_options
from cutstream.clients.kafka.errors import map_kafka_error, map_kafka_errors
from cutstream.clients.kafka.records import MAX_RECORD_BYTES, OutgoingRecord
from cutstream.errors import BrokerUnavailable, Fenced
from cutstream.settings import KafkaSettings

FENCED = (ProducerFencedError, InvalidProducerEpochError)


class TransactionalWriter:
    """Writes records in transactions of one transactional id, which makes it the only writer with that id.

    `start` aborts the transaction that an earlier writer has left open, and fences that writer: it writes nothing more.
    One thread uses it.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        self._settings = settings
        self._id = transactional_id
        self._producer: Any = None

    def start(self) -> None:
        with map_kafka_errors():
            self._producer = open_producer(self._settings, self._id)

    def write(self, records: Iterable[OutgoingRecord]) -> None:
        """Write all records in one transaction. After an error, this writer cannot be used again.

        Raises Fenced if a later writer has taken over; then nothing was written. Raises BrokerUnavailable if a broker
        does not answer; then the transaction may have been committed or not.
        """
        try:
            run_transaction(self._producer, records)
        except FENCED as exc:
            raise Fenced(
                f"another process has taken over the transactional id {self._id!r}; if it runs the same command, run "
                "this one again after it"
            ) from exc
        except KafkaError as exc:
            error = map_kafka_error(exc)
            if isinstance(error, BrokerUnavailable):
                error = BrokerUnavailable(f"{error}; it is not known whether the last transaction was committed")
            raise error from exc

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=5)


def open_producer(settings: KafkaSettings, transactional_id: str) -> Any:
    """Return a producer that is ready for transactions. Raises KafkaError."""
    producer = KafkaProducer(
        transactional_id=transactional_id,
        transaction_timeout_ms=int(settings.transaction_timeout_s * 1000),
        retry_backoff_ms=5,  # with the default of 100, back-to-back transactions take 110 ms instead of 10
        max_request_size=MAX_RECORD_BYTES,
        **connection_options(settings),
    )
    try:
        # It waits for the transaction that an earlier producer of this id may have left open.
        producer.init_transactions()
    except KafkaError:
        producer.close(timeout=5)
        raise
    return producer


def run_transaction(
    producer: Any, records: Iterable[OutgoingRecord], add_offsets: Callable[[], None] = lambda: None
) -> None:
    """Write the records in one transaction. `add_offsets` adds offsets to it. Raises KafkaError."""
    sent: list[Any] = []
    try:
        producer.begin_transaction()
        for record in records:
            sent.append(send(producer, record))
        # The client leaves a record out of the transaction when it cannot find its topic. Only the record's future
        # reports that.
        _raise_send_error(sent)
        add_offsets()
        producer.commit_transaction()
    except KafkaError as exc:
        if type(exc) is KafkaError:  # it only says "in an error state"; its arguments or the futures have the cause
            for cause in exc.args:
                if isinstance(cause, KafkaError):
                    raise cause from exc
            _raise_send_error(sent)
        raise


def send(producer: Any, record: OutgoingRecord) -> Any:
    """Hand a record to the producer. Return the future of its acknowledgement."""
    return producer.send(
        record.topic, key=record.key, value=record.value, headers=record.headers, partition=record.partition
    )


def _raise_send_error(sent: Iterable[Any]) -> None:
    for future in sent:
        if future.failed():
            raise future.exception
