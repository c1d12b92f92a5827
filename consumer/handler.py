"""Handle one record: admit it, carry it through the pipeline, and build the records that answer it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from consumer.delivery.doubts import Doubts
from consumer.delivery.failure_limit import blamed_address, suspicion
from consumer.delivery.outcomes import Abandoned, Answered, Crashed, Finished, Outcome, Postponed, TrackedRecord
from consumer.delivery.places import picture_of
from consumer.delivery.results import RecordBuilder
from consumer.delivery.retries import RetryPolicy
from consumer.intake.identity import identify
from consumer.jobs import Job, Progress, Stored
from consumer.resources.untried import Untried
from consumer.runner import Runner, WorkerStopping
from cutstream.clients.kafka import OutgoingRecord, Record
from cutstream.clock import Clock
from cutstream.contract.messages import Status, status_of
from cutstream.errors import (
    Cancelled,
    CutstreamError,
    DestinationUnavailable,
    Expired,
    PlaceUnavailable,
    Poison,
    TakesLong,
    Unexpected,
)

log = logging.getLogger(__name__)


class RequestHandler:
    """Turns a record into its outcome. Thread-safe; never raises.

    `admit` and `check` refuse a request before any work by raising Poison, Expired or Cancelled. What `check` refuses
    is a job already, so that refusals of one photo or destination can be told to be about the same. `on_end` receives
    each request with its job if it was admitted, its progress, its status or `postponed`, and its error code.
    `on_failed` receives the id, the stage and the error of each request that fails.
    """

    def __init__(
        self,
        admit: Callable[[Record], Job],
        runner: Runner[Stored],
        records: RecordBuilder,
        retries: RetryPolicy,
        clock: Clock,
        doubts: Doubts,
        on_stored: Callable[[Job, Progress], None] = lambda job, progress: None,
        check: Callable[[Job], None] = lambda job: None,
        on_end: Callable[[Record, Job | None, Progress, str, str], None] = lambda *_: None,
        on_failed: Callable[[str, str, Poison], None] = lambda id, stage, error: None,
    ) -> None:
        self._admit = admit
        self._on_end = on_end
        self._on_failed = on_failed
        self._check = check
        self._runner = runner
        self._records = records
        self._retries = retries
        self._clock = clock
        self._doubts = doubts
        self._on_stored = on_stored

    def __call__(self, task: TrackedRecord) -> Outcome:
        progress = Progress(self._clock.monotonic())
        try:
            return self._answer(task, progress)
        except WorkerStopping:
            return Abandoned(task.tracked)
        except BaseException as exc:
            return Crashed(task.tracked, exc)

    def _answer(self, task: TrackedRecord, progress: Progress) -> Finished:
        record, job = task.record, None
        try:
            with _failing_alone(record):
                job = self._admit(record)
            progress.attempts, progress.untried = job.attempts + 1, job.untried
            stored = self._carry(task, job, progress)
            if isinstance(stored, Postponed):
                return stored
            self._doubts.note_success()
            self._on_stored(job, progress)
            self._on_end(record, job, progress, "ok", "")
            return _answered(task, job, progress, "ok", "", self._records.success(job, progress, stored))
        except (Expired, Cancelled) as exc:
            result = self._records.failure(record, job, progress, exc)
            self._on_end(record, job, progress, status_of(exc), exc.code)
            return _answered(task, job, progress, status_of(exc), exc.code, result)
        except Poison as exc:
            id = job.id if job else identify(record).id
            log.info("failed: %s", exc, extra=self._fields(id, exc.code, progress, job))
            self._on_end(record, job, progress, "failed", exc.code)
            self._on_failed(id, progress.stage, exc)
            result = self._records.failure(record, job, progress, exc)
            dead_letter = self._records.dead_letter(record, job, progress, exc)
            answered = _answered(task, job, progress, "failed", exc.code, result, dead_letter)
            return replace(answered, suspicion=suspicion(exc, record, job))

    def _carry(self, task: TrackedRecord, job: Job, progress: Progress) -> Stored | Postponed:
        """Carry a job through the pipeline, or move it to the retry topic. Raises what else ends it."""
        try:
            with _failing_alone(task.record):
                self._check(job)
            return self._runner.carry(job, progress)
        except TakesLong as exc:
            progress.attempts -= 1
            return self._move(task, job, progress, exc, round(self._clock.wall() * 1000))
        except Untried as exc:
            if not exc.tried_by_another:
                progress.attempts, progress.untried = progress.attempts - 1, progress.untried + 1
            return self._postpone(task, job, progress, exc, self._is_in_doubt(exc, job))
        except PlaceUnavailable as exc:
            return self._postpone(task, job, progress, exc, self._is_in_doubt(exc, job))
        except Poison as exc:
            if not self._are_settings_in_doubt(exc, job, progress):
                raise
            return self._postpone(task, job, progress, exc, in_doubt=True)
        finally:
            if "fetch" in progress.finished_s:
                self._doubts.note_answer(job.recipe.image)

    def _is_in_doubt(self, error: PlaceUnavailable, job: Job) -> bool:
        """Return whether the deployment itself may be the reason why a place does not answer."""
        address = blamed_address(error, job)
        if isinstance(error, DestinationUnavailable):  # the settings list the others, so they are not many
            return error.is_ours
        if isinstance(error, Untried):
            return self._doubts.is_network_doubted(address)
        if error.answered:
            self._doubts.note_answer(address)
            return False
        return self._doubts.note_silent(address, str(error))

    def _are_settings_in_doubt(self, error: Poison, job: Job, progress: Progress) -> bool:
        if error.points_to != "settings" or "fetch" in progress.finished_s:  # no work is done again and again
            return False
        return self._doubts.note_refused(picture_of(blamed_address(error, job)), str(error))

    def _postpone(
        self, task: TrackedRecord, job: Job, progress: Progress, error: PlaceUnavailable | Poison, in_doubt: bool
    ) -> Postponed:
        """Move the request to the retry topic. Raises Poison after the last attempt, or Expired."""
        return self._move(task, job, progress, error, self._retries.next_attempt_ms(job, progress, error, in_doubt))

    def _move(self, task: TrackedRecord, job: Job, progress: Progress, error: CutstreamError, due_ms: int) -> Postponed:
        fields = self._fields(job.id, error.code, progress, job)
        log.info("postponed: %s", error, extra={**fields, "attempts": progress.attempts})
        self._on_end(task.record, job, progress, "postponed", error.code)
        return Postponed(task.tracked, error.code, (self._records.retry(task.record, progress, due_ms),))

    def _fields(self, id: str, code: str, progress: Progress, job: Job | None) -> dict[str, object]:
        """Return what a line of the log says beside the error: where it happened, and how long all took."""
        seconds = round(self._clock.monotonic() - progress.started_s, 3)
        timings_ms = progress.timings_ms or None
        trace = job.exemplar if job else None
        fields = {"request": id, "stage": progress.stage, "code": code, "seconds": seconds, "timings_ms": timings_ms}
        return {**fields, **(trace or {})}


@contextmanager
def _failing_alone(record: Record) -> Iterator[None]:
    """A record that reveals a bug fails alone: the next worker would meet it, too."""
    try:
        yield
    except CutstreamError:
        raise
    except Exception as exc:
        log.exception("unexpected error", extra={"request": str(record.partition), "offset": record.offset})
        raise Unexpected(f"{type(exc).__name__} in request: {exc}") from exc


def _answered(
    task: TrackedRecord, job: Job | None, progress: Progress, status: Status, code: str, *records: OutgoingRecord
) -> Answered:
    timestamp_ms = job.origin.timestamp_ms if job else task.record.timestamp_ms
    answered = Answered(task.tracked, progress.started_s, timestamp_ms, status, code, records)
    if job is None:
        return answered
    deadline = job.recipe.deadline
    return replace(
        answered,
        profile=progress.selection.profile if progress.selection else job.profile,
        deadline_s=deadline.timestamp() if deadline else None,
        exemplar=job.exemplar,
    )
