"""Transactions: the producer that opens them, and records that are written all or not at all.

After an error the producer is never used again (trap 1 of the package's docstring), and no request of a transaction is
awaited for longer than the brokers keep the transaction open (trap 8). Nothing is committed before the brokers have
every record (trap 10).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
    TransactionalIdAuthorizationFailedError,
)

from cutstream.clients.kafka.errors import map_kafka_error, map_kafka_errors
from cutstream.clients.kafka.producers import CLOSE_S, close_producer, make_producer
from cutstream.clients.kafka.record_batches import HeaderName
from cutstream.clients.kafka.records import Membership, OutgoingRecord
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
            close_producer(self._producer, CLOSE_S)


def open_producer(settings: KafkaSettings, transactional_id: str) -> Any:
    """Return a producer that is ready for transactions. Raises KafkaError."""
    producer = make_producer(
        settings,
        transactional_id=transactional_id,
        transaction_timeout_ms=int(settings.transaction_timeout_s * 1000),
        retry_backoff_ms=5,  # with the default of 100, back-to-back transactions take 110 ms instead of 10
    )
    try:
        # It waits for the transaction that an earlier producer of this id may have left open.
        producer.init_transactions()
    except KafkaError as exc:
        close_producer(producer, CLOSE_S)
        _raise_with_id(exc, transactional_id)
        raise
    return producer


def run_transaction(
    producer: Any,
    records: Iterable[OutgoingRecord],
    offsets: Mapping[TopicPartition, OffsetAndMetadata] | None = None,
    membership: Membership | None = None,
) -> None:
    """Write the records in one transaction, together with a member's offsets if they are given. Raises KafkaError."""
    sent: list[Any] = []
    try:
        producer.begin_transaction()
        for record in records:
            sent.append(send(producer, record))
        # The client leaves a record out of the transaction when it cannot find its topic. Only the record's future
        # reports that.
        _raise_send_error(sent)
        manager = producer._transaction_manager
        if offsets is not None:
            _await(producer, manager.send_offsets_to_transaction(offsets, membership))
        _await_records(producer, sent)
        _await(producer, manager.begin_commit())
    except KafkaError as exc:
        _raise_with_id(exc, producer.config["transactional_id"])
        if type(exc) is KafkaError:  # it only says "in an error state"; its arguments or the futures have the cause
            for cause in exc.args:
                if isinstance(cause, KafkaError):
                    _raise_with_id(cause, producer.config["transactional_id"])
                    raise cause from exc
            _raise_send_error(sent)
        raise


def _raise_with_id(exc: KafkaError, transactional_id: str) -> None:
    """Raise the error about a right on the transactional id with that id, which the client leaves out."""
    if isinstance(exc, TransactionalIdAuthorizationFailedError):
        raise TransactionalIdAuthorizationFailedError(transactional_id) from exc


def send(producer: Any, record: OutgoingRecord) -> Any:
    """Hand a record to the producer. Return the future of its acknowledgement."""
    headers = [(HeaderName(name), value) for name, value in record.headers]
    return producer.send(record.topic, key=record.key, value=record.value, headers=headers, partition=record.partition)


def _await(producer: Any, result: Any) -> None:
    """Wait for a request of the transaction, until the brokers abort the transaction anyway.

    The producer's own methods wait without limit. After a time-out it is unknown whether the request took effect. It is
    known before offsets are read again: the brokers do not answer with the offset of a partition while a transaction
    that has written one is open.
    """
    producer._sender.wakeup()
    timeout_ms = producer.config["transaction_timeout_ms"]
    if not result.wait(timeout_ms=timeout_ms):
        raise KafkaTimeoutError(f"the transaction has no answer after {timeout_ms / 1000:g} s")


def _await_records(producer: Any, sent: Iterable[Any]) -> None:
    """Return when the brokers have every record.

    Trap 10: a record that is given up in time, for instance without a leader for its partition, does not end its
    transaction, and the client would commit the rest of it.
    """
    producer._sender.wakeup()
    until_s = time.monotonic() + producer.config["transaction_timeout_ms"] / 1000
    for future in sent:
        future.get(timeout=max(0.0, until_s - time.monotonic()))


def _raise_send_error(sent: Iterable[Any]) -> None:
    for future in sent:
        if future.failed():
            raise future.exception
