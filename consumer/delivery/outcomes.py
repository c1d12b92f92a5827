"""What can become of a record that was read: an answer to commit, a job left undone, or a fatal error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consumer.delivery.offsets import TrackedOffset
from cutstream.clients.kafka import OutgoingRecord, Record
from cutstream.contract.messages import Status


@dataclass(frozen=True, slots=True)
class TrackedRecord:
    """A record that was read, with its place among the offsets to commit."""

    tracked: TrackedOffset
    record: Record


@dataclass(frozen=True, slots=True)
class Answered:
    """The request has its result: `records` hold it, and for a failure the dead letter."""

    tracked: TrackedOffset
    started_s: float  # monotonic
    timestamp_ms: int  # of the request's record
    status: Status = "ok"
    code: str = ""  # of the error
    records: tuple[OutgoingRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The worker stopped before the request was finished; the next worker starts it again."""

    tracked: TrackedOffset


@dataclass(frozen=True, slots=True)
class Crashed:
    """An error that is not the request's fault: nothing is published, and the worker stops."""

    tracked: TrackedOffset
    error: BaseException


Outcome: TypeAlias = Answered | Abandoned | Crashed
