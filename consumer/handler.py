"""One record in, its one outcome out: the result record, and for a failure the dead letter."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from consumer.delivery.offsets import TrackedOffset
from consumer.delivery.outcomes import Abandoned, Answered, Crashed, Outcome
from consumer.delivery.results import RecordBuilder
from consumer.jobs import Job, Stored
from consumer.runner import Runner, WorkerStopping
from cutstream.clients.kafka import OutgoingRecord, Record
from cutstream.clock import Clock
from cutstream.contract.messages import Status
from cutstream.errors import Expired, Poison

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    tracked: TrackedOffset
    record: Record


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

    def __call__(self, task: Task) -> Outcome:
        started = self._clock.monotonic()
        try:
            return self._handle(task, started)
        except WorkerStopping:
            return Abandoned(task.tracked)
        except BaseException as exc:
            return Crashed(task.tracked, exc)

    def _handle(self, task: Task, started: float) -> Answered:
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
    ) -> Answered:
        return Answered(task.tracked, started, task.record.timestamp_ms, status, code, records)
