"""The two ways to commit results with their offsets. It guards against trap 1 of the package's docstring."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer, OffsetAndMetadata
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError

from cutstream.clients.kafka.connection import connection_options, to_topic_partition
from cutstream.clients.kafka.errors import CommitRefused, map_kafka_error, map_kafka_errors
from cutstream.clients.kafka.record_writer import RecordWriter
from cutstream.clients.kafka.records import MAX_RECORD_BYTES, Membership, OutgoingRecord, Partition
from cutstream.errors import BrokerUnavailable, Fatal, Fenced
from cutstream.settings import KafkaSettings

_FENCED = (ProducerFencedError, InvalidProducerEpochError)
# Five fenced commits among the last twenty mean a second worker with the same id.
_FENCED_LIMIT, _FENCED_WINDOW = 5, 20


class TransactionalCommitter:
    """Commits results, dead letters and offsets in one Kafka transaction. One thread at a time uses it."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._id = settings.transactional_id or f"{settings.group}-{uuid4()}"
        self._producer: Any = None
        self._recently_fenced: deque[bool] = deque(maxlen=_FENCED_WINDOW)

    def start(self) -> None:
        self._open_producer()

    def commit(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: Membership,
    ) -> None:
        if self._producer is None:
            self._open_producer()
        try:
            self._run_transaction(records, offsets, membership)
            self._recently_fenced.append(False)
        except KafkaError as exc:
            self._discard_producer()
            self._count_fencing(exc)
            error = map_kafka_error(exc)
            raise (error if isinstance(error, Fatal) else CommitRefused(str(exc))) from exc

    def close(self) -> None:
        self._discard_producer()

    def _run_transaction(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: Membership,
    ) -> None:
        self._producer.begin_transaction()
        sent = [self._producer.send(r.topic, key=r.key, value=r.value, headers=r.headers) for r in records]
        positions = {to_topic_partition(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}
        try:
            # The client leaves a record out of the transaction when it cannot find its topic. Only the record's
            # future reports that.
            _raise_send_error(sent)
            self._producer.send_offsets_to_transaction(positions, membership)
            self._producer.commit_transaction()
        except KafkaError as exc:
            if type(exc) is KafkaError:  # it only says "in an error state"; the futures know the cause
                _raise_send_error(sent)
            raise

    def _open_producer(self) -> None:
        # init_transactions waits for the transaction that an earlier producer of this id may have left open.
        with map_kafka_errors():
            self._producer = KafkaProducer(
                transactional_id=self._id,
                transaction_timeout_ms=int(self._settings.transaction_timeout_s * 1000),
                retry_backoff_ms=5,  # with the default of 100, back-to-back transactions take 110 ms instead of 10
                max_request_size=MAX_RECORD_BYTES,
                **connection_options(self._settings),
            )
            try:
                self._producer.init_transactions()
            except KafkaError:
                self._discard_producer()
                raise

    def _discard_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=5)

    def _count_fencing(self, exc: KafkaError) -> None:
        # Not in a row: two workers with one id fence each other, and each succeeds once after every fencing.
        self._recently_fenced.append(isinstance(exc, _FENCED))
        if sum(self._recently_fenced) >= _FENCED_LIMIT:
            raise Fenced(
                f"another worker uses the transactional id {self._id!r}: give each worker its own "
                "CUTSTREAM_KAFKA__TRANSACTIONAL_ID or none (docs/settings.md#kafka-transactional-id)"
            ) from exc


class AtLeastOnceCommitter:
    """Writes results first and commits offsets second, for brokers without transactions.

    A crash between the two steps repeats results.
    """

    def __init__(self, settings: KafkaSettings, commit_offsets: Callable[[Mapping[Partition, int]], None]) -> None:
        self._writer = RecordWriter(settings)
        self._commit_offsets = commit_offsets

    def start(self) -> None:
        self._writer.start()

    def commit(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: Membership,
    ) -> None:
        try:
            self._writer.write(records)
            self._commit_offsets(offsets)
        except BrokerUnavailable as exc:
            raise CommitRefused(str(exc)) from exc

    def close(self) -> None:
        self._writer.close()


def _raise_send_error(sent: Iterable[Any]) -> None:
    for future in sent:
        if future.failed():
            raise future.exception
