"""One record in, its one outcome out: the result record, and for a failure the dead letter."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from consumer.delivery.offsets import TrackedOffset
from consumer.delivery.results import RecordBuilder
from consumer.jobs import Job, Stored
from consumer.runner import Abandoned, Runner
from cutstream.clients.kafka import OutgoingRecord, Record
from cutstream.clock import Clock
from cutstream.contract.messages import Status
from cutstream.errors import Expired, Poison

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    ticket: TrackedOffset
    record: Record


@dataclass(frozen=True, slots=True)
class Handled:
    """What the loop commits. With `fatal` or `abandoned` there is nothing to publish."""

    ticket: TrackedOffset
    started: float
    timestamp_ms: int
    status: Status = "ok"
    code: str = ""
    records: tuple[OutgoingRecord, ...] = ()
    fatal: BaseException | None = None
    abandoned: bool = False


class Handler:
    """Thread-safe; never raises."""

    def __init__(
        self,
        open_job: Callable[[Record], Job],
        runner: Runner,
        reporter: RecordBuilder,
        clock: Clock,
        stored: Callable[[Job], None] = lambda _: None,
    ) -> None:
        self._open = open_job
        self._runner = runner
        self._reporter = reporter
        self._clock = clock
        self._stored = stored

    def __call__(self, task: Task) -> Handled:
        started = self._clock.monotonic()
        try:
            return self._handle(task, started)
        except Abandoned:
            return Handled(task.ticket, started, task.record.timestamp_ms, abandoned=True)
        except BaseException as exc:
            return Handled(task.ticket, started, task.record.timestamp_ms, fatal=exc)

    def _handle(self, task: Task, started: float) -> Handled:
        record = task.record
        job: Job | None = None
        try:
            job = self._open(record)
            job.started_s = started
            with job.lease:
                stored: Stored = self._runner.carry(job)
            self._stored(job)
            return self._handled(task, started, "ok", "", (self._reporter.ok(job, stored),))
        except Expired as exc:
            return self._handled(task, started, "expired", exc.code, (self._reporter.not_ok(record, job, exc),))
        except Poison as exc:
            log.info("failed: %s", exc, extra={"request": job.id if job else None, "code": exc.code})
            letters = (self._reporter.not_ok(record, job, exc), self._reporter.dead_letter(record, job, exc))
            return self._handled(task, started, "failed", exc.code, letters)

    def _handled(
        self, task: Task, started: float, status: Status, code: str, records: tuple[OutgoingRecord, ...]
    ) -> Handled:
        return Handled(task.ticket, started, task.record.timestamp_ms, status, code, records)
