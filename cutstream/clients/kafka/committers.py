"""The two ways to commit results with their offsets. It guards against trap 1 of the package's docstring."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from kafka import OffsetAndMetadata
from kafka.errors import FencedInstanceIdError, KafkaError

from cutstream.clients.kafka.connection import to_topic_partition
from cutstream.clients.kafka.errors import CommitRefused, map_kafka_error, map_kafka_errors
from cutstream.clients.kafka.producers import CLOSE_S, close_producer
from cutstream.clients.kafka.record_writer import RecordWriter
from cutstream.clients.kafka.records import Membership, OutgoingRecord, Partition
from cutstream.clients.kafka.transactions import FENCED, open_producer, run_transaction
from cutstream.errors import BrokerUnavailable, Fatal, Fenced
from cutstream.settings import KafkaSettings

# A static member that was thrown out and is back is fenced like a second worker, but once.
_FENCED = (*FENCED, FencedInstanceIdError)
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
            fatal = isinstance(error, Fatal) and not isinstance(exc, _FENCED)
            raise (error if fatal else CommitRefused(str(exc))) from exc

    def close(self) -> None:
        self._discard_producer()

    def _run_transaction(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: Membership,
    ) -> None:
        positions = {to_topic_partition(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}
        run_transaction(self._producer, records, positions, membership)

    def _open_producer(self) -> None:
        with map_kafka_errors():
            self._producer = open_producer(self._settings, self._id)

    def _discard_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer, CLOSE_S)

    def _count_fencing(self, exc: KafkaError) -> None:
        # Not in a row: two workers with one id fence each other, and each succeeds once after every fencing.
        self._recently_fenced.append(isinstance(exc, _FENCED))
        if sum(self._recently_fenced) >= _FENCED_LIMIT:
            raise Fenced(
                f"another worker uses the transactional id {self._id!r} or the same instance id: give each worker its "
                "own CUTSTREAM_KAFKA__TRANSACTIONAL_ID and CUTSTREAM_KAFKA__INSTANCE_ID, or none "
                "(docs/settings.md#kafka-transactional-id)"
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
