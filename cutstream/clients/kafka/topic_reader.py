"""Reading a whole topic outside a consumer group."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.errors import TopicAuthorizationFailedError

from cutstream.clients.kafka.connection import connection_options, to_record
from cutstream.clients.kafka.errors import NoTopic, UnreadableRecords, map_kafka_errors
from cutstream.clients.kafka.fetching import Unreadable, open_consumer, position_of
from cutstream.clients.kafka.logins import raise_refused_login
from cutstream.clients.kafka.records import Record
from cutstream.clients.kafka.topics import end_offsets
from cutstream.settings import KafkaSettings

log = logging.getLogger(__name__)


class TopicReader:
    """Reads all committed records of a topic without a group: results, dead letters, backgrounds.

    A broker without new records answers after `idle_wait_s`. That is the cost of following a quiet topic. A committed
    record that lies behind an open transaction is delivered when that transaction ends. With `settled`, the reader has
    caught up only after that. With `positions`, it reads each of these partition numbers from that offset, or from its
    first record if that has been deleted, and all others as without. With `since_ms`, it begins with the first record
    whose timestamp, in milliseconds since the Unix epoch, is not earlier.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        *,
        from_end: bool = False,
        settled: bool = False,
        idle_wait_s: float = 0.5,
        positions: Mapping[int, int] | None = None,
        since_ms: int | None = None,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._from_end = from_end
        self._settled = settled
        self._idle_wait_s = idle_wait_s
        self._positions = positions or {}
        self._since_ms = since_ms
        self._ends: dict[TopicPartition, int] = {}
        self._unreadable: list[Unreadable] = []
        self._consumer: Any = None

    def start(self) -> None:
        """Fix the start positions, so that `poll` delivers every record written after this returns.

        Raises NoTopic when the topic does not exist.
        """
        with map_kafka_errors():
            self._consumer = open_consumer(
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                fetch_max_wait_ms=int(self._idle_wait_s * 1000),
                **connection_options(self._settings),
            )
            numbers = self._consumer.partitions_for_topic(self._topic)
            if not numbers:
                raise NoTopic(
                    f"topic {self._topic!r} does not exist; `cutstream topics create` makes it. If it exists, this "
                    "user lacks the right READ on it (docs/security.md#rights)"
                )
            partitions = [TopicPartition(self._topic, n) for n in sorted(numbers)]
            self._consumer.assign(partitions)
            if self._from_end:
                self._consumer.seek_to_end(*partitions)
            else:
                self._consumer.seek_to_beginning(*partitions)
            if self._since_ms is not None:
                self._seek_to_time(partitions, self._since_ms)
            for partition in partitions:
                if partition.partition in self._positions:
                    self._consumer.seek(partition, self._positions[partition.partition])
                self._consumer.position(partition)
            if self._settled:
                self._ends = end_offsets(self._settings, partitions)
            else:
                self._ends = self._consumer.end_offsets(partitions)

    def _seek_to_time(self, partitions: Sequence[TopicPartition], since_ms: int) -> None:
        found = self._consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        for partition in partitions:
            if found.get(partition) is None:
                self._consumer.seek_to_end(partition)
            else:
                self._consumer.seek(partition, found[partition].offset)

    def next_offsets(self) -> dict[int, int]:
        """Return, for each partition number, the offset behind the last record that `poll` has delivered."""
        return {partition.partition: self._position(partition) for partition in self._ends}

    @property
    def caught_up(self) -> bool:
        """True once `poll` has delivered every record that the topic held when `start` returned."""
        # It compares positions, not records: `poll` never delivers what compaction removed or a transaction aborted.
        return all(self._position(partition) >= end for partition, end in self._ends.items())

    @property
    def ends(self) -> dict[int, int]:
        """For each partition number, the end up to which `caught_up` is about."""
        return {partition.partition: end for partition, end in self._ends.items()}

    def positions(self) -> dict[int, int]:
        """Return, for each partition number, the offset behind the last record that `poll` has delivered or passed."""
        with map_kafka_errors():
            return {p.partition: self._position(p) for p in self._consumer.assignment()}

    def starts(self) -> dict[int, int]:
        """Return, for each partition number, the offset of its first record now. Earlier ones have been deleted."""
        with map_kafka_errors():
            starts = self._consumer.beginning_offsets(list(self._ends))
        return {partition.partition: start for partition, start in starts.items()}

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        """Return the next records. Wait at most `timeout_s` for the first.

        A record that its sender made unreadable is left out, and named in the log. Raises UnreadableRecords once
        everything before any other record that cannot be read has been delivered, and BrokerUnavailable. Raises
        ConfigurationError if the login or the topic is refused meanwhile.
        """
        if self._unreadable:
            raise UnreadableRecords(self._unreadable[0])
        with map_kafka_errors():
            raise_refused_login()
            self._raise_if_forbidden()
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        self._unreadable += self._consumer._fetcher.take_unreadable()
        if self._unreadable and not batches:
            raise UnreadableRecords(self._unreadable[0])
        records = [to_record(r) for batch in batches.values() for r in batch]
        if left_out := [record for record in records if record.unread]:
            first = left_out[0]
            log.warning(
                "left out %d records that cannot be read, from %s, offset %d: %s",
                len(left_out),
                first.partition,
                first.offset,
                first.unread,
            )
        return [record for record in records if not record.unread]

    def _position(self, partition: TopicPartition) -> Any:
        return position_of(self._consumer, partition, timeout_ms=None)

    def _raise_if_forbidden(self) -> None:
        """Raise what a client without a group keeps to itself: it waits instead."""
        if forbidden := self._consumer._client.cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(forbidden)

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=5_000)
