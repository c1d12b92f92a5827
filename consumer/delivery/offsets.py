"""Which offsets may be committed: the contiguous prefix of finished requests of each partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from cutstream.clients.kafka import Partition

T = TypeVar("T")


class TrackedOffset(NamedTuple):
    """A request's place. `epoch` tells a place in an earlier ownership of the partition from today's."""

    partition: Partition
    offset: int
    epoch: int


@dataclass(frozen=True)
class Ready(Generic[T]):
    """What one transaction may carry: outcomes, and for each partition the next offset to read after them."""

    outcomes: list[T] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    last: dict[Partition, TrackedOffset] = field(default_factory=dict)


class OffsetTracker(Generic[T]):
    """Every request between being read and being committed, in reading order by partition. One thread only.

    Offsets need not be consecutive (compaction and transaction markers leave gaps): the order of reading counts.
    """

    def __init__(self) -> None:
        self._epoch = 0
        self._epochs: dict[Partition, int] = {}
        self._places: dict[Partition, deque[TrackedOffset]] = {}
        self._finished: dict[TrackedOffset, T] = {}

    def begin(self, partition: Partition, offset: int) -> TrackedOffset:
        epoch = self._epochs.setdefault(partition, self._epoch)
        ticket = TrackedOffset(partition, offset, epoch)
        self._places.setdefault(partition, deque()).append(ticket)
        return ticket

    def finish(self, ticket: TrackedOffset, outcome: T) -> bool:
        """False when the partition was dropped meanwhile: the outcome must not be published."""
        if self._epochs.get(ticket.partition) != ticket.epoch:
            return False
        self._finished[ticket] = outcome
        return True

    def ready(self, limit: int) -> Ready[T]:
        """At most `limit` outcomes; leaves the ledger as it is until `settle`."""
        ready: Ready[T] = Ready()
        for partition, places in self._places.items():
            for ticket in places:
                if ticket not in self._finished or len(ready.outcomes) == limit:
                    break
                ready.outcomes.append(self._finished[ticket])
                ready.offsets[partition] = ticket.offset + 1
                ready.last[partition] = ticket
        return ready

    def settle(self, ready: Ready[T]) -> None:
        """Forgets what was committed; partitions dropped since are already forgotten."""
        for partition, last in ready.last.items():
            if self._epochs.get(partition) != last.epoch:
                continue
            places = self._places[partition]
            while places and places[0].offset <= last.offset:
                del self._finished[places.popleft()]

    def drop(self, partitions: Iterable[Partition]) -> int:
        """Forgets these partitions; returns how many finished outcomes were thrown away."""
        self._epoch += 1
        discarded = 0
        for partition in partitions:
            self._epochs.pop(partition, None)
            for ticket in self._places.pop(partition, ()):
                discarded += self._finished.pop(ticket, None) is not None
        return discarded

    @property
    def finished(self) -> int:
        return len(self._finished)

    @property
    def unfinished(self) -> int:
        return sum(map(len, self._places.values())) - len(self._finished)
