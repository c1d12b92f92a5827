"""kafka-python's consumer with its own fetcher and subscription state, and a broker in memory instead of a network.

What it does with fetched records is real; what a test decides is when the broker answers, and who owns what.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import CompletedFetch
from kafka.consumer.subscription_state import SubscriptionState
from kafka.errors import KafkaConnectionError, KafkaTimeoutError
from kafka.record import MemoryRecordsBuilder
from kafka.structs import MemberState

from cutstream.clients.kafka.fetching import CarefulFetcher

RECORDS_PER_FETCH = 7


@dataclass
class SimulatedBroker:
    """Partitions with `counts` records each, and the group as one member sees it."""

    topic: str
    counts: list[int]
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    owned: set[TopicPartition] = field(default_factory=set)
    member_id: str = "member-1"
    stable: bool = True
    answers_offsets: bool = True
    takes_fetches: bool = True
    corrupt: set[tuple[int, int]] = field(default_factory=set)
    """Partition numbers and offsets. From such a record on, its fetch cannot be read."""

    @property
    def partitions(self) -> list[TopicPartition]:
        return [TopicPartition(self.topic, number) for number in range(len(self.counts))]


class _Membership(NamedTuple):
    member_id: str
    generation_id: int
    state: MemberState


class SimulatedConsumer(KafkaConsumer):
    """Polls a SimulatedBroker. A fetch is answered when the test calls `answer`; until then there is no other one."""

    def __init__(self, broker: SimulatedBroker, listener) -> None:
        self._broker = broker
        self._listener = listener
        self._subscription = SubscriptionState("earliest")
        self._subscription.subscribe([broker.topic])
        self._fetcher = CarefulFetcher(
            SimpleNamespace(_manager=SimpleNamespace(_net=None)), self._subscription, isolation_level="read_committed"
        )
        self._fetcher.send_fetches = self._send_fetch
        self._fetcher.known_ends = self.end_offsets
        self._in_flight: list[CompletedFetch] = []
        self._iterator = None
        self._coordinator = SimpleNamespace(request_rejoin=lambda: None, _offset_fetch_futures={})

    def poll(self, timeout_ms, max_records):
        if not self._broker.stable:
            return {}
        self._follow_group()
        for tp, state in self._subscription.assignment.items():
            if not state.has_valid_position:
                offset = 0 if state.awaiting_reset else self._broker.committed.get(tp, 0)
                self.seek(tp, offset)
        records, _ = self._fetcher.fetch_records(max_records)
        return records

    def answer(self) -> None:
        """Let the broker answer the fetch in flight."""
        self._fetcher._completed_fetches.extend(self._in_flight)
        self._in_flight = []

    def group_metadata(self):
        state = MemberState.STABLE if self._broker.stable else MemberState.REBALANCING
        return _Membership(self._broker.member_id, 1, state)

    def committed(self, tp, timeout_ms):
        if not self._broker.answers_offsets:
            raise KafkaTimeoutError("no answer")
        return self._broker.committed.get(tp)

    def position(self, tp, timeout_ms):
        position = self._subscription.assignment[tp].position
        return position.offset if position else None

    def end_offsets(self, partitions, timeout_ms):
        return {tp: self._broker.counts[tp.partition] for tp in partitions}

    def close(self, autocommit, timeout_ms):
        """Do nothing."""

    def _follow_group(self) -> None:
        before, now = self.assignment(), self._broker.owned
        if lost := before - now:
            self._listener.on_partitions_revoked(lost)
        if before != now:
            self._subscription.assign_from_subscribed(sorted(now))
        if gained := now - before:
            self._listener.on_partitions_assigned(gained)

    def _send_fetch(self) -> None:
        if not self._broker.takes_fetches:
            raise KafkaConnectionError("the request for more records cannot be sent")
        if self._in_flight:
            return
        for tp in self._fetcher._fetchable_partitions():
            start, end = self.position(tp, 0), self._broker.counts[tp.partition]
            if start < end:
                offsets = range(start, min(end, start + RECORDS_PER_FETCH))
                data = fetched([(offset, (tp.partition, offset) in self._broker.corrupt) for offset in offsets], end)
                self._in_flight.append(CompletedFetch(tp, start, 12, data, None))


def fetched(records: Iterable[tuple[int, bool]], end: int) -> SimpleNamespace:
    """Return the fetch of some offsets, each with whether it is corrupt. Each record is a batch."""
    return SimpleNamespace(
        error_code=0,
        high_watermark=end,
        records=b"".join(_batch(offset, is_corrupt) for offset, is_corrupt in records),
        aborted_transactions=None,
        diverging_epoch=None,
        preferred_read_replica=-1,
    )


def _batch(offset: int, is_corrupt: bool) -> bytes:
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20)
    builder.append(timestamp=0, key=None, value=b"", headers=[])
    builder.close()
    batch = struct.pack(">q", offset) + bytes(builder.buffer())[8:]  # a broker sets the first offset
    return batch[:-1] + bytes([batch[-1] ^ 1]) if is_corrupt else batch
