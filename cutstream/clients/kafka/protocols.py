"""The interfaces through which the worker's loop uses a broker.

`RequestReader` and the two committers implement them for Kafka, tests/support/memory_broker.py in memory.
tests/contract/test_broker.py states the behaviour that both share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from cutstream.clients.kafka.records import Membership, OutgoingRecord, Partition, Polled


class RequestSource(Protocol):
    """One member of the consumer group that reads requests. One thread uses it."""

    @property
    def membership(self) -> Membership | None:
        """The identity to commit with, as of the last poll. None while the group is not stable."""

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions that this member owns."""

    def poll(self, timeout_s: float, max_records: int, held: Collection[Partition] = ()) -> Polled:
        """Return up to `max_records` records, in offset order within a partition. Wait at most `timeout_s`.

        Partitions `held` deliver nothing this time. With 0 records it keeps the membership and delivers nothing at all.
        Without a membership there are no records either. A gained partition starts at its committed offset. Raises
        BrokerUnavailable or Fatal.
        """

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """Return to the committed offsets. The next poll delivers no record of these partitions."""

    def position(self, partition: Partition) -> int | None:
        """Return the offset of the next record to deliver. None while it is not known, and if it is not owned."""

    def timestamp_ms(self, partition: Partition) -> int | None:
        """Return the timestamp of the next record to deliver. None if it has not been fetched yet."""

    def end_offset(self, partition: Partition) -> int | None:
        """Return the partition's end as of the last fetch. None before the first fetch, and if it is not owned."""


class Committer(Protocol):
    """Writes results and the consumed offsets as one unit. One thread at a time uses it."""

    def start(self) -> None: ...

    def commit(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: Membership,
    ) -> None:
        """Write `records`, and commit `offsets`: for each partition the next offset to read.

        Raises CommitRefused when nothing was committed and the work may be done again, and Fatal (Fenced,
        ConfigurationError) when no attempt will succeed.
        """

    def close(self) -> None: ...
