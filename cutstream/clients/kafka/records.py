"""The values that the Kafka client takes and returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

# In a name, bytes that are not UTF-8 are lone surrogates (`surrogateescape`), and are written back as the same bytes.
Headers: TypeAlias = list[tuple[str, bytes]]

# A dead letter holds the original record and the reasons, so it needs more room than Kafka's default of 1 MiB.
MAX_RECORD_BYTES = 8 * 1024 * 1024


class Unread(bytes):
    """The value of a record whose sender made it unreadable: empty, with the reason in `cause`."""

    cause: str

    def __new__(cls, cause: str) -> Unread:
        made = super().__new__(cls)
        made.cause = cause
        return made


class Partition(NamedTuple):
    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read. `timestamp_ms` counts from the epoch, -1 if unknown. A tombstone's value is empty.

    `unread` is the reason why it came without its content, if it did: its sender's batch is damaged or too large.
    """

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers
    unread: str = ""


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to write. Without a value it is a tombstone, which removes its key from a compacted topic.

    Without a partition, the key decides it, or the client if there is none.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """The records of one poll, and the partitions gained and lost during it. Losses come before gains.

    The stalled ones had records and delivered none. They start again at their committed offsets, like those gained.
    `unreadable` counts the partitions that stand still before a record that cannot be read.
    """

    records: list[Record]
    gained: frozenset[Partition] = frozenset()
    lost: frozenset[Partition] = frozenset()
    stalled: frozenset[Partition] = frozenset()
    unreadable: int = 0


class Membership(Protocol):
    """A member's identity in one generation of the consumer group.

    A commit presents it, and the broker refuses the commit when the member or the generation is no longer valid.
    """

    @property
    def member_id(self) -> str: ...

    @property
    def generation_id(self) -> int: ...
