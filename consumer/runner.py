"""Carries one job through the stages and gives each its place, timing, outcome and error policy."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from consumer.jobs import Job
from consumer.resources.priority_semaphore import PrioritySemaphore
from cutstream.clock import Clock
from cutstream.errors import CutstreamError, Expired, Retryable, SourceUnavailable, Unexpected
from cutstream.metrics import Metrics

log = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One step: `run(job, value)` returns the next stage's value. Stages may share `slots`, as the CPU's do."""

    name: str
    run: Callable[[Job, Any], Any]
    slots: PrioritySemaphore


class WorkerStopping(CutstreamError):
    """The worker stops before this job is done; the next worker starts it again."""

    code = "abandoned"


class Runner:
    """Thread-safe: many jobs are carried at once."""

    def __init__(
        self,
        stages: Sequence[Stage],
        metrics: Metrics,
        clock: Clock,
        source_attempts: int,
        abandon: threading.Event,
    ) -> None:
        self._stages = stages
        self._metrics = metrics
        self._clock = clock
        self._source_attempts = source_attempts
        self._abandon = abandon

    def carry(self, job: Job) -> Any:
        """Return the last stage's value. Raises Poison, Expired, Fatal or WorkerStopping; `job.stage` says where."""
        value: Any = job.request
        for stage in self._stages:
            job.stage = stage.name
            value = self._through(stage, job, value)
        return value

    def _through(self, stage: Stage, job: Job, value: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            self._check(job)
            try:
                return self._once(stage, job, value)
            except Retryable as exc:
                self._wait(stage, job, exc, attempt)
            except CutstreamError:
                raise
            except Exception as exc:
                log.exception("unexpected error", extra={"request": job.id, "stage": stage.name})
                raise Unexpected(f"{type(exc).__name__} in {stage.name}: {exc}") from exc

    def _once(self, stage: Stage, job: Job, value: Any) -> Any:
        asked = self._clock.monotonic()
        with stage.slots.acquire(job.started_s):
            begun = self._clock.monotonic()
            self._metrics.stage_wait.labels(stage.name).inc(begun - asked)
            try:
                return stage.run(job, value)
            finally:
                seconds = self._clock.monotonic() - begun
                self._metrics.stage_seconds.labels(stage.name).observe(seconds)
                job.timings_ms[stage.name] = round(seconds * 1000, 3)

    def _check(self, job: Job) -> None:
        if self._abandon.is_set():
            raise WorkerStopping("the worker is stopping")
        if job.expired(datetime.fromtimestamp(self._clock.wall(), timezone.utc)):
            raise Expired(f"the deadline {job.request.deadline} passed before {job.stage}")

    def _wait(self, stage: Stage, job: Job, exc: Retryable, attempt: int) -> None:
        """Ours is waited for without end, the request's own source a bounded number of times."""
        self._metrics.retries.labels(stage.name, exc.code).inc()
        if isinstance(exc, SourceUnavailable):
            if attempt >= self._source_attempts:
                raise exc.given_up(attempt) from exc
            job.attempts += 1
        elif attempt == 1:
            log.warning("waiting: %s", exc, extra={"request": job.id, "stage": stage.name})
        with self._counted(exc):
            self._abandon.wait(backoff_s(attempt, exc.retry_after_s))

    @contextmanager
    def _counted(self, exc: Retryable) -> Iterator[None]:
        gauge = self._metrics.waiting.labels(exc.code)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()


def backoff_s(attempt: int, hint_s: float | None = None) -> float:
    """Doubling from 0.1 s to 5 s with full jitter in its upper half; a server's own hint is taken up to 30 s."""
    if hint_s is not None:
        return min(hint_s, 30.0)
    ceiling = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempt - 1, 16))
    return ceiling * random.uniform(0.5, 1.0)
