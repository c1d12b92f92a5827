"""The worker's side of the consumer group. It guards against traps 2, 3 and 4 of the package's docstring."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState

from cutstream.clients.kafka.connection import connection_options, to_partition, to_record, to_topic_partition
from cutstream.clients.kafka.errors import map_kafka_errors
from cutstream.clients.kafka.records import Membership, Partition, Polled
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings

log = logging.getLogger(__name__)

_METADATA_AGE_MS = 30_000  # how soon added partitions are noticed; the client's default is five minutes
_COMMITTED_TIMEOUT_MS = 5_000  # well below the heartbeat limit: the loop keeps turning while a broker is away


class RequestReader:
    """Reads requests as a member of the workers' group. Implements RequestSource. One thread uses it."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._gained: deque[Partition] = deque()
        self._lost: deque[Partition] = deque()
        self._to_rewind: set[Partition] = set()
        self._paused = False
        self._membership: Membership | None = None
        self._member_id = ""
        self._consumer: Any = None

    def start(self) -> None:
        s = self._settings
        with map_kafka_errors():
            self._consumer = KafkaConsumer(
                group_id=s.group,
                group_instance_id=s.instance_id or None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                partition_assignment_strategy=[CooperativeStickyAssignor],
                session_timeout_ms=int(s.session_timeout_s * 1000),
                heartbeat_interval_ms=int(s.session_timeout_s * 1000 / 4),
                max_poll_interval_ms=int(s.max_poll_interval_s * 1000),
                metadata_max_age_ms=_METADATA_AGE_MS,
                **connection_options(s),
            )
            self._consumer.subscribe([s.requests_topic], listener=_Listener(self._gained, self._lost))

    @property
    def membership(self) -> Membership | None:
        """The identity to commit with, as of the last poll. None while the group is not stable: commit later."""
        return self._membership

    @property
    def partitions(self) -> frozenset[Partition]:
        return frozenset(to_partition(tp) for tp in self._consumer.assignment())

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        """Return the next records. Gained partitions start again at their committed offsets.

        Waits at most `timeout_s`. While there is no membership, call it with time and without pauses between calls:
        the client discards a join that ends between two polls, and begins a new one.
        """
        with map_kafka_errors():
            self._keep_joining()
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
            self._update_membership()
            lost, gained = _drain(self._lost), _drain(self._gained)
            if gained and self._paused:
                self._consumer.pause(*map(to_topic_partition, gained))
            self.rewind(gained)
            stale = lost | self._to_rewind
            records = [to_record(r) for tp, batch in batches.items() if to_partition(tp) not in stale for r in batch]
        self._finish_rewinds()
        return Polled(records, gained, lost)

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """Return to the committed offsets. The next poll delivers no record of these partitions."""
        self._to_rewind.update(partitions)

    def set_paused(self, paused: bool) -> None:
        """Stop or resume fetching. A paused member keeps its membership as long as it polls."""
        if paused == self._paused:
            return
        self._paused = paused
        change = self._consumer.pause if paused else self._consumer.resume
        change(*self._consumer.assignment())

    def end_offset(self, partition: Partition) -> int | None:
        """Return the partition's end as of the last fetch. None before the first fetch, and if it is not owned."""
        tp = to_topic_partition(partition)
        if tp not in self._consumer.assignment():
            return None
        end: int | None = self._consumer.highwater(tp)
        return end

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets alone, for `at_least_once`. Any thread may call it.

        With `exactly_once` the transaction commits the offsets.
        """
        with map_kafka_errors():
            self._consumer.commit({to_topic_partition(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()})

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=5_000)

    def _keep_joining(self) -> None:
        # Trap 4. A request to rejoin makes the client take up the join in progress; usually it does so by itself.
        if self._consumer.group_metadata().state is MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()

    def _update_membership(self) -> None:
        # Trap 3. Right after a poll that ended in a stable group, the generation and the assignment fit together.
        membership = self._consumer.group_metadata()
        self._membership = membership if membership.state is MemberState.STABLE else None
        if self._membership is not None and membership.member_id != self._member_id:
            # Trap 2. The group threw this member out and took it back under a new id. Another member may have worked
            # on the partitions that it seems to have kept.
            self._gained.extend(self.partitions)
            self._member_id = membership.member_id

    def _finish_rewinds(self) -> None:
        """Seek to the committed offsets of all partitions to rewind.

        If the broker does not answer, the rest waits for the next poll, which delivers none of their records.
        """
        owned = self.partitions
        for partition in sorted(self._to_rewind):
            if partition in owned:
                try:
                    with map_kafka_errors():
                        self._seek_to_committed(to_topic_partition(partition))
                except BrokerUnavailable as exc:
                    log.warning("committed offset unknown: %s", exc, extra={"partition": partition.number})
                    return
            self._to_rewind.discard(partition)

    def _seek_to_committed(self, tp: TopicPartition) -> None:
        offset = self._consumer.committed(tp, timeout_ms=_COMMITTED_TIMEOUT_MS)
        if offset is None:
            self._consumer.seek_to_beginning(tp)
        else:
            self._consumer.seek(tp, offset)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes the changes for the next poll to handle. Trap 3: it runs where blocking calls are refused."""

    def __init__(self, gained: deque[Partition], lost: deque[Partition]) -> None:
        self._gained = gained
        self._lost = lost

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._gained.extend(map(to_partition, assigned))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._lost.extend(map(to_partition, revoked))


def _drain(changes: deque[Partition]) -> frozenset[Partition]:
    # One at a time, because the listener may append from the client's own thread meanwhile.
    drained = set()
    while changes:
        drained.add(changes.popleft())
    return frozenset(drained)
