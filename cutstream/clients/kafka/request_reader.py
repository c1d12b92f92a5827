"""The worker's side of the consumer group. It guards against traps 2 to 5, 11 and 15 of the package."""

from __future__ import annotations

import logging
import math
import sys
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import KafkaError
from kafka.structs import MemberState

from cutstream.clients.kafka.assignor import TopicAssignor
from cutstream.clients.kafka.buffers import Ranks, RecordBuffers
from cutstream.clients.kafka.connection import (
    REQUEST_TIMEOUT_MS,
    connection_options,
    to_partition,
    to_record,
    to_topic_partition,
)
from cutstream.clients.kafka.errors import map_kafka_errors
from cutstream.clients.kafka.fetching import open_consumer, position_of
from cutstream.clients.kafka.logins import raise_refused_login
from cutstream.clients.kafka.obstacles import Obstacles
from cutstream.clients.kafka.records import Membership, Partition, Polled
from cutstream.clients.kafka.stalls import StallWatch
from cutstream.clock import Clock, SystemClock
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings

log = logging.getLogger(__name__)

_METADATA_AGE_MS = 30_000  # how soon added partitions are noticed; the client's default is five minutes
_COMMITTED_TIMEOUT_MS = 1_000  # the loop keeps turning while a broker is away; the next poll takes a late answer up
_ENDS_TIMEOUT_MS = 1_000
_CLOSE_TIMEOUT_MS = 5_000
_PARTITION_FETCH_BYTES = 128 * 1024  # some hundreds of small requests: what a poll parses at once, and a buffer holds
_FETCH_BYTES = 8 * 1024 * 1024
# How long the client's one running fetch lasts while nothing is written. A partition that is read on again waits for
# it, and so does one whose records came just before it was sent: with 500, one request in a hundred waited so long.
_FETCH_WAIT_MS = 100
_ENOUGH = 200  # records of a partition here: below that its next fetch begins, so that reading does not wait for it
_ENOUGH_BYTES = 1024 * 1024  # likewise: records that were compressed may be large
_EVERYTHING = sys.maxsize


class RequestReader:
    """Reads requests as a member of the workers' group. Implements RequestSource. One thread uses it.

    `ranks` names the topics to read, in order of precedence. Only records of `settings.retry_topic` may name a time
    before which they are not due, at most `max_delay_s` ahead.
    """

    def __init__(
        self, settings: KafkaSettings, ranks: Ranks, clock: Clock | None = None, max_delay_s: float = math.inf
    ) -> None:
        self._settings = settings
        self._topics = [topic for topics in ranks for topic in topics]
        clock = clock or SystemClock()
        self._buffers = RecordBuffers(ranks, settings.retry_topic, clock, max_delay_s)
        self._watch = StallWatch(settings.stall_s, clock)
        self._obstacles = Obstacles(clock)
        self._suspects: set[Partition] = set()
        self._must_reopen = False
        self._gained: deque[Partition] = deque()
        self._lost: deque[Partition] = deque()
        self._to_rewind: set[Partition] = set()
        self._membership: Membership | None = None
        self._member_id = ""
        self._assigned: set[TopicPartition] = set()  # what `_partitions` was made from
        self._partitions: frozenset[Partition] = frozenset()
        self._consumer: Any = None

    def start(self) -> None:
        with map_kafka_errors():
            self._consumer = self._open_consumer()

    @property
    def membership(self) -> Membership | None:
        """The identity to commit with, as of the last poll. None while the group is not stable: commit later."""
        return self._membership

    @property
    def partitions(self) -> frozenset[Partition]:
        assigned = self._consumer.assignment()
        if assigned != self._assigned:
            self._assigned = assigned
            self._partitions = frozenset(map(to_partition, assigned))
        return self._partitions

    def poll(self, timeout_s: float, max_records: int, held: Collection[Partition] = ()) -> Polled:
        """Return the next records. Gained partitions start again at their committed offsets.

        Waits at most `timeout_s`. While there is no membership, call it with time and without pauses between calls:
        the client discards a join that ends between two polls, and begins a new one.
        """
        with map_kafka_errors():
            raise_refused_login()
            if self._must_reopen:
                self._reopen()
            self._keep_joining()
            self._pause_what_waits()
            wait_ms = int(self._wait_s(timeout_s, max_records, held) * 1000)
            batches = self._consumer.poll(timeout_ms=wait_ms, max_records=_EVERYTHING)
            self._update_membership()
            lost, gained = _drain(self._lost), _drain(self._gained)
            self._buffers.drop(lost)
            self.rewind(gained)
            stale = lost | self._to_rewind
            self._obstacles.forget(stale)
            for tp, batch in batches.items():
                if to_partition(tp) not in stale:
                    self._buffers.add(map(to_record, batch))
                    self._suspects.discard(to_partition(tp))
            for found in self._consumer._fetcher.take_unreadable():
                if found.partition not in stale:
                    self._obstacles.add(found)
        self._finish_rewinds()
        self._obstacles.forget_passed(self.position, self.end_offset)
        if lost or gained or self._membership is None:
            self._watch.restart()
        if self._membership is None:
            return Polled([], gained, lost, unreadable=len(self._obstacles))
        stalled = self._cure_stalled() if max_records else frozenset()
        records = self._buffers.take(max_records, held)
        return Polled(records, gained, lost, stalled, len(self._obstacles))

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """Return to the committed offsets. The next poll delivers no record of these partitions."""
        partitions = frozenset(partitions)
        self._buffers.drop(partitions)
        self._to_rewind |= partitions
        if partitions:
            # Trap 11. The client keeps the answer to a question that it gave up, and gives it to the next one who asks.
            self._consumer._coordinator._offset_fetch_futures.clear()

    def position(self, partition: Partition) -> int | None:
        """Return the offset of the next record to deliver. None while it is not known, and if it is not owned."""
        tp = to_topic_partition(partition)
        if tp not in self._consumer.assignment() or partition in self._to_rewind:
            return None
        buffered = self._buffers.first(partition)
        if buffered is not None:
            return buffered.offset
        try:
            return position_of(self._consumer, tp, timeout_ms=0)
        except (KafkaError, KeyError):  # trap 15
            return None

    def timestamp_ms(self, partition: Partition) -> int | None:
        """Return the timestamp of the next record to deliver. None if it is not here yet."""
        buffered = self._buffers.first(partition)
        return buffered.timestamp_ms if buffered else None

    def end_offset(self, partition: Partition) -> int | None:
        """Return the partition's end as of the last fetch. None before the first fetch, and if it is not owned."""
        tp = to_topic_partition(partition)
        if tp not in self._consumer.assignment():
            return None
        try:
            end: int | None = self._consumer.highwater(tp)
        except (KafkaError, KeyError):  # trap 15
            return None
        return end

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets alone, for `at_least_once`. Any thread may call it.

        With `exactly_once` the transaction commits the offsets. Raises BrokerUnavailable, also while the reader changes
        to a new client, and Fatal.
        """
        positions = {to_topic_partition(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}
        try:
            with map_kafka_errors():
                self._consumer.commit(positions, timeout_ms=REQUEST_TIMEOUT_MS)
        except RuntimeError as exc:  # the client's way to say that it is closed
            raise BrokerUnavailable(f"Kafka: nothing was committed: {exc}") from exc

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)

    def _open_consumer(self) -> Any:
        s = self._settings
        consumer = open_consumer(
            group_id=s.group,
            group_instance_id=s.instance_id or None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            partition_assignment_strategy=[TopicAssignor],
            session_timeout_ms=int(s.session_timeout_s * 1000),
            heartbeat_interval_ms=int(s.session_timeout_s * 1000 / 4),
            max_poll_interval_ms=int(s.max_poll_interval_s * 1000),
            metadata_max_age_ms=_METADATA_AGE_MS,
            max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            **connection_options(s),
        )
        consumer.subscribe(self._topics, listener=_Listener(self._gained, self._lost))
        return consumer

    def _reopen(self) -> None:
        """Join the group with a new client, and leave it with the old one and everything that it remembers."""
        before, owned = self._consumer, self.partitions
        self._consumer = self._open_consumer()
        self._must_reopen = False
        self._membership = None
        self._gained.clear()
        self._lost.extend(owned)
        self._to_rewind.clear()
        self._suspects.clear()
        self._obstacles.forget(owned)
        before.close(autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)

    def _keep_joining(self) -> None:
        # Trap 4. A request to rejoin makes the client take up the join in progress; usually it does so by itself.
        if self._consumer.group_metadata().state is MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()

    def _pause_what_waits(self) -> None:
        """Fetch only what is needed: nothing more of partitions that have records here, or have to wait.

        Trap 5. Each poll takes everything that the client has, so it never holds half of a partition's records, and
        may be told to pause and to resume at any time.
        """
        full = self._buffers.partitions(_ENOUGH, _ENOUGH_BYTES)
        waiting = {to_topic_partition(partition) for partition in full | self._to_rewind | self._obstacles.waiting}
        paused = self._consumer.paused()
        self._consumer.pause(*(waiting & self._consumer.assignment()) - paused)
        self._consumer.resume(*paused - waiting)

    def _wait_s(self, timeout_s: float, max_records: int, held: Collection[Partition]) -> float:
        """Return how long to wait for the client: not if records are due, and no longer than until one is."""
        due_s = self._buffers.wait_s(held)
        if self._membership is None or max_records == 0 or due_s is None:
            return timeout_s
        return min(timeout_s, due_s)

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

        If the broker does not answer, the rest waits for the next poll, which delivers none of their records. While the
        group is being joined nothing is delivered, and a join needs its polls, so nobody waits for an answer then.
        """
        if self._membership is None:
            return
        owned = self.partitions
        for partition in sorted(self._to_rewind):
            if partition in owned:
                try:
                    with map_kafka_errors():
                        self._seek_to_committed(to_topic_partition(partition))
                except BrokerUnavailable as exc:
                    log.warning("committed offset unknown: %s", exc, extra={"partition": str(partition)})
                    return
            self._to_rewind.discard(partition)

    def _cure_stalled(self) -> frozenset[Partition]:
        """Return the partitions that have stalled. They are read again, or if they were before, with a new client."""
        if not self._watch.due:
            return frozenset()
        try:
            with map_kafka_errors():
                behind = self._behind(
                    self.partitions - self._buffers.partitions() - self._to_rewind - self._obstacles.waiting
                )
        except BrokerUnavailable as exc:
            log.debug("unknown ends: %s", exc)  # what keeps the worker from reading is not here, and is said elsewhere
            self._watch.restart(self._settings.stall_s)
            return frozenset()
        stalled = self._watch.look(behind)
        self._must_reopen = bool(stalled & self._suspects)
        for partition in sorted(stalled):
            cure = "connecting anew" if self._must_reopen else "reading again from the committed offset"
            position = behind[partition]
            log.error("partition stalled: %s", cure, extra={"partition": str(partition), "position": position})
        self._suspects |= stalled
        self.rewind(stalled)
        return stalled

    def _behind(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return those partitions that have committed records to read, with their positions."""
        tps = [to_topic_partition(partition) for partition in sorted(partitions)]
        # The ends of `read_committed`: records of a transaction that is still open are nobody's stall.
        ends = self._consumer._fetcher.known_ends(tps, _ENDS_TIMEOUT_MS) if tps else {}
        positions = {tp: position_of(self._consumer, tp, timeout_ms=0) or 0 for tp in ends}
        return {to_partition(tp): position for tp, position in positions.items() if position < ends[tp]}

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
