"""Tracks which offsets may be committed: in each partition, the contiguous prefix of finished requests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from cutstream.clients.kafka import Partition

T = TypeVar("T")


class TrackedOffset(NamedTuple):
    """The offset of a request that was read at `read_s` on the monotonic clock, and its record's timestamp.

    `epoch` changes when the partition is lost or rewound, so that an outcome from before that can be told apart.
    """

    partition: Partition
    offset: int
    epoch: int
    read_s: float = 0.0
    timestamp_ms: int = -1


@dataclass(frozen=True)
class CommitBatch(Generic[T]):
    """The content of one transaction: outcomes, and for each partition the next offset to read after them."""

    outcomes: list[T] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    last: dict[Partition, TrackedOffset] = field(default_factory=dict)


class OffsetTracker(Generic[T]):
    """Holds every request from reading to commit, by partition and in reading order. One thread uses it.

    Offsets need not be consecutive, because compaction and transaction markers leave gaps. The reading order decides
    what is contiguous.
    """

    def __init__(self) -> None:
        self._epoch = 0
        self._epochs: dict[Partition, int] = {}
        self._tracked: dict[Partition, deque[TrackedOffset]] = {}
        self._finished: dict[TrackedOffset, T] = {}
        self._finished_in: Counter[Partition] = Counter()

    def track(self, partition: Partition, offset: int, now_s: float = 0.0, timestamp_ms: int = -1) -> TrackedOffset:
        """Add a request that was just read. Call it in reading order."""
        epoch = self._epochs.setdefault(partition, self._epoch)
        tracked = TrackedOffset(partition, offset, epoch, now_s, timestamp_ms)
        self._tracked.setdefault(partition, deque()).append(tracked)
        return tracked

    def finish(self, tracked: TrackedOffset, outcome: T) -> bool:
        """Store a request's outcome.

        Returns False when its partition was dropped since it was read: then the outcome must not be published.
        """
        if self._epochs.get(tracked.partition) != tracked.epoch:
            return False
        self._finished[tracked] = outcome
        self._finished_in[tracked.partition] += 1
        return True

    def next_batch(self, limit: int, position: Callable[[Partition], int | None] = lambda _: None) -> CommitBatch[T]:
        """Return up to `limit` outcomes that may be committed. They stay tracked until `mark_committed`.

        The partitions take turns, so that none waits while another one fills the batch. `position` returns the offset
        of the next record to be read: where everything read before it is in the batch, it is committed. It is behind
        the marks of ended transactions, which would otherwise look like requests that nobody answers.
        """
        batch: CommitBatch[T] = CommitBatch()
        turns = deque((partition, iter(in_order)) for partition, in_order in self._tracked.items())
        while turns and len(batch.outcomes) < limit:
            partition, in_order = turns.popleft()
            tracked = next(in_order, None)
            if tracked is not None and tracked in self._finished:
                batch.outcomes.append(self._finished[tracked])
                batch.offsets[partition] = tracked.offset + 1
                batch.last[partition] = tracked
                turns.append((partition, in_order))
        for partition, last in batch.last.items():
            if self._tracked[partition][-1] == last:
                batch.offsets[partition] = max(batch.offsets[partition], position(partition) or 0)
        return batch

    def mark_committed(self, batch: CommitBatch[T]) -> frozenset[Partition]:
        """Remove what was committed. Return the partitions that were dropped since the batch was made.

        What was read of these meanwhile may have been read from before the commit.
        """
        dropped = set()
        for partition, last in batch.last.items():
            if self._epochs.get(partition) != last.epoch:
                dropped.add(partition)
                continue
            in_order = self._tracked[partition]
            while in_order and in_order[0].offset <= last.offset:
                del self._finished[in_order.popleft()]
                self._finished_in[partition] -= 1
        return frozenset(dropped)

    def drop(self, partitions: Iterable[Partition]) -> int:
        """Remove everything of these partitions. Return the number of finished outcomes among it."""
        self._epoch += 1
        discarded = 0
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._finished_in.pop(partition, None)
            for tracked in self._tracked.pop(partition, ()):
                discarded += self._finished.pop(tracked, None) is not None
        return discarded

    def first(self, partition: Partition) -> TrackedOffset | None:
        """Return the partition's first request that is not committed. None without one."""
        in_order = self._tracked.get(partition)
        return in_order[0] if in_order else None

    @property
    def oldest_read_s(self) -> float | None:
        """When the oldest request that is not committed was read. None without one."""
        return min((in_order[0].read_s for in_order in self._tracked.values() if in_order), default=None)

    @property
    def finished_count(self) -> int:
        """The number of requests that are finished and not committed."""
        return len(self._finished)

    def partitions_with(self, finished: int) -> frozenset[Partition]:
        """Return the partitions with at least so many requests that are finished and not committed."""
        return frozenset(partition for partition, count in self._finished_in.items() if count >= finished)

    @property
    def unfinished_count(self) -> int:
        return sum(map(len, self._tracked.values())) - len(self._finished)
