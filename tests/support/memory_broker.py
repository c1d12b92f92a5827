"""A Kafka broker in memory with one consumer group, for tests of code that uses RequestSource and Committer.

It keeps Kafka's rules as far as the worker relies on them. tests/contract/test_broker.py states these rules and checks
them on this broker and on a real one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import NamedTuple
from zlib import crc32

from cutstream.clients.kafka import CommitRefused, Membership, OutgoingRecord, Partition, Polled, Record
from cutstream.clients.kafka.buffers import RecordBuffers
from cutstream.clock import Clock, SystemClock


class MemoryMembership(NamedTuple):
    member_id: str
    generation_id: int


class MemoryBroker:
    """Topics, committed offsets, transactions and the group that reads the topics of requests. Thread-safe.

    The group reads "requests" with so many `partitions`, and "urgent" and "retry" if they get some. Every change
    notifies `changed`, whose lock guards all state.
    """

    def __init__(
        self, partitions: int = 1, *, urgent: int = 0, retry: int = 0, other_topics: Sequence[str] = ("results",)
    ) -> None:
        read = {"urgent": urgent, "requests": partitions, "retry": retry}
        self.changed = threading.Condition()
        self.group = _Group([Partition(topic, number) for topic, total in read.items() for number in range(total)])
        self.committed: dict[Partition, int] = {}
        self._partition_counts = read | dict.fromkeys(other_topics, 1)
        self._logs: dict[Partition, list[Record]] = {
            Partition(topic, number): [] for topic, total in self._partition_counts.items() for number in range(total)
        }
        self._keyless = count()
        self._producer_epochs: dict[str, int] = {}

    def append(self, record: OutgoingRecord) -> None:
        """Write a record. Its key decides the partition; records without a key go to each partition in turn."""
        with self.changed:
            spread = next(self._keyless) if record.key is None else crc32(record.key)
            partition = Partition(record.topic, spread % self._partition_counts[record.topic])
            log = self._logs[partition]
            log.append(Record(partition, len(log), 0, record.key, record.value or b"", list(record.headers)))
            self.changed.notify_all()

    def log(self, partition: Partition) -> Sequence[Record]:
        """All records of a partition. The index of a record is its offset."""
        return self._logs[partition]

    def read_all(self, topic: str) -> list[Record]:
        with self.changed:
            return [
                record
                for number in range(self._partition_counts[topic])
                for record in self.log(Partition(topic, number))
            ]

    def throw_out(self, member_id: str) -> None:
        """Remove a member from the group without its knowledge, as when its session times out."""
        with self.changed:
            self.group.remove(member_id)
            self.changed.notify_all()

    def register_producer(self, transactional_id: str) -> int:
        """Return a new epoch for this id. It fences the producers with earlier ones."""
        with self.changed:
            epoch = self._producer_epochs.get(transactional_id, 0) + 1
            self._producer_epochs[transactional_id] = epoch
            return epoch

    def commit_transaction(
        self,
        transactional_id: str,
        epoch: int,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: Membership,
    ) -> None:
        """Write the records and commit the offsets, or do neither and raise CommitRefused."""
        with self.changed:
            if self._producer_epochs[transactional_id] != epoch:
                raise CommitRefused(f"a newer producer uses the transactional id {transactional_id!r}")
            self.group.check(membership)
            for record in records:
                if record.topic not in self._partition_counts:
                    raise CommitRefused(f"topic {record.topic!r} does not exist")
            for record in records:
                self.append(record)
            self.committed.update(offsets)


class MemoryReader:
    """A member of the broker's group. Implements RequestSource as RequestReader does."""

    _numbers = count(1)

    def __init__(self, broker: MemoryBroker, clock: Clock | None = None) -> None:
        self._broker = broker
        self._buffers = RecordBuffers((("urgent",), ("requests", "retry")), "retry", clock or SystemClock())
        self._member_id = ""
        self._membership: MemoryMembership | None = None
        self._owned: set[Partition] = set()
        self._positions: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._to_rewind: set[Partition] = set()

    def start(self) -> None:
        """Do nothing: like Kafka's client, the reader joins the group when it polls."""

    @property
    def membership(self) -> MemoryMembership | None:
        return self._membership

    @property
    def partitions(self) -> frozenset[Partition]:
        return frozenset(self._owned)

    @property
    def caught_up(self) -> bool:
        """True when every owned partition has been read to its end."""
        with self._broker.changed:
            pending = self._to_rewind & self._owned
            ends = {partition: len(self._broker.log(partition)) for partition in self._owned}
            read = all(self._positions[partition] == end for partition, end in ends.items())
            return bool(ends) and not pending and read and not self._buffers.partitions()

    def poll(self, timeout_s: float, max_records: int, held: Collection[Partition] = ()) -> Polled:
        deadline = time.monotonic() + timeout_s
        with self._broker.changed:
            while True:
                lost, gained = self._follow_group()
                self._buffers.drop(lost | gained)
                self._to_rewind |= gained
                self._fetch()
                records = self._buffers.take(max_records, held) if self._membership else []
                remaining = deadline - time.monotonic()
                if records or lost or gained or self._to_rewind or remaining <= 0:
                    break
                due_s = self._buffers.wait_s(held) if max_records and self._membership else None
                self._broker.changed.wait(remaining if due_s is None else min(remaining, due_s))
            for partition in self._to_rewind & self._owned:
                self._positions[partition] = self._broker.committed.get(partition, 0)
            self._to_rewind.clear()
            return Polled(records, frozenset(gained), frozenset(lost))

    def rewind(self, partitions: Iterable[Partition]) -> None:
        partitions = frozenset(partitions)
        self._buffers.drop(partitions)
        self._to_rewind |= partitions

    def position(self, partition: Partition) -> int | None:
        if partition not in self._owned or partition in self._to_rewind:
            return None
        buffered = self._buffers.first(partition)
        return buffered.offset if buffered else self._positions.get(partition)

    def timestamp_ms(self, partition: Partition) -> int | None:
        buffered = self._buffers.first(partition)
        return buffered.timestamp_ms if buffered else None

    def end_offset(self, partition: Partition) -> int | None:
        return self._ends.get(partition) if partition in self._owned else None

    def close(self) -> None:
        """Leave the group."""
        with self._broker.changed:
            self._broker.group.remove(self._member_id)
            self._broker.changed.notify_all()
            self._membership, self._owned = None, set()

    def _follow_group(self) -> tuple[set[Partition], set[Partition]]:
        """Join if the group rebalances, and take over the assignment if it is stable. Return losses and gains."""
        group = self._broker.group
        lost: set[Partition] = set()
        if self._member_id not in group.members:
            lost, self._owned = self._owned, set()
            self._member_id = f"member-{next(self._numbers)}"
        if group.join(self._member_id):
            self._broker.changed.notify_all()
        if not group.stable:
            self._membership = None
            return lost, set()
        self._membership = MemoryMembership(self._member_id, group.generation)
        assigned = group.assigned_to(self._member_id)
        if revoked := self._owned - assigned:
            group.release(revoked)
            self._broker.changed.notify_all()
        gained = group.claim(self._member_id, assigned - self._owned)
        self._owned = (self._owned | gained) - revoked
        return lost | revoked, gained

    def _fetch(self) -> None:
        for partition in self._owned - self._to_rewind - self._buffers.partitions():
            log = self._broker.log(partition)
            self._buffers.add(log[self._positions[partition] :])
            self._positions[partition] = self._ends[partition] = len(log)


class MemoryCommitter:
    """Commits in transactions. Implements Committer as TransactionalCommitter does."""

    _numbers = count(1)

    def __init__(self, broker: MemoryBroker, transactional_id: str = "") -> None:
        self._broker = broker
        self._id = transactional_id or f"committer-{next(self._numbers)}"
        self._epoch: int | None = None
        self.commits: list[dict[Partition, int]] = []
        """The offsets of each transaction that succeeded."""

    def start(self) -> None:
        self._epoch = self._broker.register_producer(self._id)

    def commit(
        self, records: Sequence[OutgoingRecord], offsets: Mapping[Partition, int], membership: Membership
    ) -> None:
        if self._epoch is None:
            self.start()
        epoch, self._epoch = self._epoch, None  # a refused transaction ends its producer
        assert epoch is not None
        self._broker.commit_transaction(self._id, epoch, records, offsets, membership)
        self._epoch = epoch
        self.commits.append(dict(offsets))

    def close(self) -> None:
        self._epoch = None


class _Group:
    """The consumer group: members, generation and assignment. The broker's lock guards it.

    A change of members begins a rebalance. The rebalance ends, with a new generation, when every member has joined
    again. A partition that moves is free for its new owner once its old owner has released it or is gone.
    """

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self.members: list[str] = []
        self.generation = 0
        self.stable = False
        self._partitions = partitions
        self._joined: set[str] = set()
        self._assignment: dict[Partition, str] = {}
        self._owners: dict[Partition, str] = {}

    def join(self, member_id: str) -> bool:
        """Take part in the rebalance, or begin one as a new member. Return False if there was nothing to do."""
        if member_id not in self.members:
            self.members.append(member_id)
            self._begin_rebalance()
        if self.stable or member_id in self._joined:
            return False
        self._joined.add(member_id)
        self._complete_rebalance_if_joined()
        return True

    def remove(self, member_id: str) -> None:
        if member_id not in self.members:
            return
        self.members.remove(member_id)
        self._owners = {partition: owner for partition, owner in self._owners.items() if owner != member_id}
        self._joined.discard(member_id)
        self._begin_rebalance()
        self._complete_rebalance_if_joined()

    def check(self, membership: Membership) -> None:
        if membership.member_id not in self.members or membership.generation_id != self.generation:
            raise CommitRefused(f"{membership.member_id} of generation {membership.generation_id} is not a member")

    def assigned_to(self, member_id: str) -> set[Partition]:
        return {partition for partition, assignee in self._assignment.items() if assignee == member_id}

    def claim(self, member_id: str, partitions: Iterable[Partition]) -> set[Partition]:
        """Take ownership of those of the partitions that are free."""
        free = {partition for partition in partitions if partition not in self._owners}
        self._owners.update(dict.fromkeys(free, member_id))
        return free

    def release(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._owners.pop(partition, None)

    def _begin_rebalance(self) -> None:
        if self.stable:
            self.stable = False
            self._joined.clear()

    def _complete_rebalance_if_joined(self) -> None:
        if self.members and self._joined >= set(self.members):
            self.generation += 1
            self.stable = True
            self._assign()

    def _assign(self) -> None:
        """Give every member its share. Members keep what they own, as with the cooperative sticky assignor."""
        fewest, rest = divmod(len(self._partitions), len(self.members))
        shares = {member: fewest + (index < rest) for index, member in enumerate(self.members)}
        self._assignment = {}
        for partition, owner in sorted(self._owners.items()):
            if shares[owner] > 0:
                self._assignment[partition] = owner
                shares[owner] -= 1
        for partition in self._partitions:
            if partition not in self._assignment:
                member = next(member for member, share in shares.items() if share > 0)
                self._assignment[partition] = member
                shares[member] -= 1
