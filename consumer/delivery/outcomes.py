"""The outcomes of a request: it is answered or postponed, which is committed, or abandoned, or it stops the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consumer.delivery.offsets import TrackedOffset
from cutstream.clients.kafka import OutgoingRecord, Record
from cutstream.contract.messages import Status
from cutstream.metrics import Exemplar


@dataclass(frozen=True, slots=True)
class TrackedRecord:
    """A record that was read, with its place among the offsets to commit."""

    tracked: TrackedOffset
    record: Record


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A failure that points to the deployment. Those with the same `subject` have one cause."""

    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The request is finished. `records` holds its result and, after a failure, its dead letter.

    `profile` is the one that found the subject, or else the requested one; empty if the request could not be read.
    """

    tracked: TrackedOffset
    started_s: float  # on the monotonic clock
    timestamp_ms: int  # of the request's first record
    status: Status = "ok"
    code: str = ""  # the error's code; empty without an error
    records: tuple[OutgoingRecord, ...] = ()
    suspicion: Suspicion | None = None
    profile: str = ""
    deadline_s: float | None = None  # on the wall clock
    exemplar: Exemplar = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """A place that the request names is away, the request takes long, or the worker is in doubt about itself. `records`
    holds the request for the retry topic; its result comes later."""

    tracked: TrackedOffset
    code: str  # the error's code
    records: tuple[OutgoingRecord, ...]


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The worker stopped before the request was finished. The next worker starts it again."""

    tracked: TrackedOffset


@dataclass(frozen=True, slots=True)
class Crashed:
    """An error that the request did not cause. Nothing is published, and the worker stops."""

    tracked: TrackedOffset
    error: BaseException


Finished: TypeAlias = Answered | Postponed  # these are committed, with their offset
Outcome: TypeAlias = Finished | Abandoned | Crashed
