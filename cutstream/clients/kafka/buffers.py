"""Records that were fetched and not delivered yet, and the order in which they are delivered."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

from cutstream.clients.kafka.record_batches import RECORD_OVERHEAD_BYTES
from cutstream.clients.kafka.records import Partition, Record
from cutstream.clock import Clock
from cutstream.contract.redelivery import not_before_ms

Ranks: TypeAlias = Sequence[Collection[str]]
_Waiting: TypeAlias = deque[tuple[float, Record]]  # each with the monotonic time at which it is due


class RecordBuffers:
    """Holds the fetched records of each partition in offset order.

    `ranks` names the topics in order of precedence: records of a later rank are delivered when no record of an earlier
    one is due. Partitions of one rank take turns, record by record. A record of `delayed_topic` that is not due yet
    holds its partition, and no other, until at most `max_delay_s` after it was written.
    """

    def __init__(self, ranks: Ranks, delayed_topic: str, clock: Clock, max_delay_s: float = math.inf) -> None:
        self._ranks: list[dict[Partition, _Waiting]] = [{} for _ in ranks]
        self._bytes: Counter[Partition] = Counter()
        self._rank_of = {topic: rank for rank, topics in enumerate(ranks) for topic in topics}
        self._delayed_topic = delayed_topic
        self._clock = clock
        self._max_delay_s = max_delay_s

    def partitions(self, at_least: int = 1, or_bytes: float = math.inf) -> frozenset[Partition]:
        """Return the partitions that have so many records here, or so many bytes in their keys, values and headers."""
        return frozenset(
            partition
            for rank in self._ranks
            for partition, waiting in rank.items()
            if len(waiting) >= at_least or self._bytes[partition] >= or_bytes
        )

    def first(self, partition: Partition) -> Record | None:
        """Return the partition's next record. None if it has none here."""
        waiting = self._ranks[self._rank_of[partition.topic]].get(partition)
        return waiting[0][1] if waiting else None

    def add(self, records: Iterable[Record]) -> None:
        """Add fetched records, in offset order within a partition."""
        for record in records:
            waiting = self._ranks[self._rank_of[record.partition.topic]].setdefault(record.partition, deque())
            waiting.append((self._due_s(record), record))
            self._bytes[record.partition] += _size(record)

    def take(self, limit: int, held: Collection[Partition] = ()) -> list[Record]:
        """Remove and return up to `limit` records that are due, none of the partitions `held`."""
        taken: list[Record] = []
        now = self._clock.monotonic()
        for rank in self._ranks:
            turns = deque(p for p, waiting in rank.items() if waiting[0][0] <= now and p not in held)
            while turns and len(taken) < limit:
                partition = turns.popleft()
                waiting = rank.pop(partition)
                taken.append(waiting.popleft()[1])
                self._bytes[partition] -= _size(taken[-1])
                if waiting:
                    rank[partition] = waiting  # at the end: the others of its rank come first, also next time
                    if waiting[0][0] <= now:
                        turns.append(partition)
        return taken

    def drop(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._ranks[self._rank_of[partition.topic]].pop(partition, None)
            self._bytes.pop(partition, None)

    def wait_s(self, held: Collection[Partition] = ()) -> float | None:
        """Return the time until `take` has a record: 0 if it has one, and None without records."""
        due = [waiting[0][0] for rank in self._ranks for partition, waiting in rank.items() if partition not in held]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def _due_s(self, record: Record) -> float:
        """Return the monotonic time at which a record may be delivered.

        It is held no longer than its writer meant, and never beyond `max_delay_s` after it was written. So a wall clock
        that is wrong here or there, or jumps between the decision to wait and the writing of it, holds no partition for
        hours, and a partition that changes hands is not held anew.
        """
        if record.partition.topic != self._delayed_topic:
            return 0.0
        until_ms = min(not_before_ms(record.headers), record.timestamp_ms + self._max_delay_s * 1000)
        delay_s = min(until_ms - self._clock.wall() * 1000, until_ms - record.timestamp_ms) / 1000
        return self._clock.monotonic() + delay_s


def _size(record: Record) -> int:
    content = len(record.key or b"") + len(record.value) + sum(len(name) + len(value) for name, value in record.headers)
    return content + len(record.headers) * RECORD_OVERHEAD_BYTES  # a record may have 100,000 empty headers
