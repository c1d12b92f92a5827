"""Carry one job through the stages; give each stage its memory, slot, timing, outcome counter and error policy."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from consumer.jobs import Job, Progress
from consumer.resources.memory_budget import MemoryBudget
from consumer.resources.priority_semaphore import Order, PrioritySemaphore
from consumer.resources.sources import SLOW_S
from consumer.resources.untried import Untried
from consumer.resources.waits import Wait, Waits
from cutstream.clock import Clock
from cutstream.contract.recipe import Recipe
from cutstream.errors import CutstreamError, Expired, PlaceUnavailable, Retryable, TakesLong, Unexpected
from cutstream.metrics import Metrics
from cutstream.shortage import blaming_no_request

log = logging.getLogger(__name__)

In = TypeVar("In")
Out = TypeVar("Out")
Next = TypeVar("Next")

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_STARTING_ATTEMPTS = 40  # with waits as after the second: six seconds in all
_MOMENT_S = 1.0


@dataclass(frozen=True)
class Stage(Generic[In, Out]):
    """One step of the pipeline: `run(job, value)` returns the value for the next stage.

    Stages of one kind of work share `slots`. A stage with `memory` runs once that many bytes are reserved. The job
    keeps them until it ends; once a stage has stated what is `kept` of its value, only that. A stage with `admission`
    runs inside of what that returns, which may wait or refuse, before it takes a slot. A stage with `permit` takes what
    that returns, before memory, for a job whose work takes long. Where a stage `takes_permit`, that stands for a slot;
    it is given back after the stage that `ends_permit`.
    """

    name: str
    run: Callable[[Job, In], Out]
    slots: PrioritySemaphore
    memory: Callable[[Job, In], int] | None = None
    kept: Callable[[Job, Out], int] | None = None
    admission: Callable[[Job, Order, Callable[[], None]], AbstractContextManager[None]] | None = None
    permit: Callable[[Job, In], PrioritySemaphore | None] | None = None
    takes_permit: bool = False
    ends_permit: bool = False

    def __or__(self, following: Stage[Out, Next]) -> Pipeline[In, Next]:
        return Pipeline((self, following))


@dataclass(frozen=True)
class Pipeline(Generic[In, Out]):
    """Stages in order. Each takes what the one before returns: the type checker refuses two that do not fit."""

    stages: tuple[Stage[Any, Any], ...]

    def __or__(self, following: Stage[Out, Next]) -> Pipeline[In, Next]:
        return Pipeline((*self.stages, following))


class _Reserved(ExitStack):
    """The memory of one job, and its permit. `keep` gives back what is beyond so many bytes, and `permit` likewise."""

    keep: Callable[[int], None] | None = None
    permit: Callable[[int], None] | None = None


class WorkerStopping(CutstreamError):
    """The worker stops before this job is done; the next worker starts it again."""

    code = "abandoned"


class Runner(Generic[Out]):
    """Carries many jobs at once. Thread-safe.

    Urgent jobs, which are those first written to `urgent_topic`, are served before all others that wait for a slot or
    for memory, and the oldest before younger ones. `refuse` is called before each attempt; it may raise to end the job.
    """

    def __init__(
        self,
        pipeline: Pipeline[Recipe, Out],
        memory: MemoryBudget,
        metrics: Metrics,
        clock: Clock,
        source_attempts: int,
        stopping: threading.Event,
        waits: Waits,
        urgent_topic: str = "",
        refuse: Callable[[Job], None] = lambda job: None,
        observe: Callable[[Job, Progress, object], None] = lambda job, progress, value: None,
    ) -> None:
        self._stages = pipeline.stages
        self._memory = memory
        self._metrics = metrics
        self._clock = clock
        self._source_attempts = source_attempts
        self._stopping = stopping
        self._waits = waits
        self._urgent_topic = urgent_topic
        self._refuse = refuse
        self._observe = observe
        self._succeeded: set[str] = set()  # names of stages

    def carry(self, job: Job, progress: Progress) -> Out:
        """Return the last stage's value. Raises Poison, Expired, Cancelled, Fatal or WorkerStopping.

        Raises PlaceUnavailable when the attempts in place are used up, or when another would hold up other jobs, and
        TakesLong when the job itself would. `progress` says where.
        """
        value: Any = job.recipe
        with _Reserved() as reserved:
            for stage in self._stages:
                progress.stage = stage.name
                value = self._run(stage, job, value, progress, reserved)
                progress.finish(stage.name, value, self._clock.monotonic())
                self._succeeded.add(stage.name)
                self._observe(job, progress, value)
        return value  # type: ignore[no-any-return]

    def _run(self, stage: Stage[Any, Any], job: Job, value: Any, progress: Progress, reserved: _Reserved) -> Any:
        """Run one stage until it succeeds, or until it makes no sense to try it again here."""
        attempt = 0
        with self._waits.in_stage(stage.name) as wait:
            while True:
                attempt += 1
                self._check(job, progress)
                try:
                    with self._abandoned_when_stopping(), blaming_no_request():
                        return self._attempt(stage, job, value, progress, reserved)
                except Retryable as exc:
                    self._back_off(stage, job, progress, exc, attempt, wait)
                except CutstreamError:
                    raise
                except Exception as exc:
                    log.exception("unexpected error", extra={"request": job.id, "stage": stage.name})
                    raise Unexpected(f"{type(exc).__name__} in {stage.name}: {exc}") from exc

    def _attempt(self, stage: Stage[Any, Any], job: Job, value: Any, progress: Progress, reserved: _Reserved) -> Any:
        waiting_since_s = self._clock.monotonic()
        photos = self._metrics.stage_photos
        order, check = self._order(job, progress), partial(self._check, job, progress)
        admission = stage.admission(job, order, check) if stage.admission else nullcontext()
        waiting = ExitStack()  # until the stage has its slot
        waiting.enter_context(photos.labels(stage.name, "waiting").track_inprogress())
        # The memory is released if this attempt fails: the next one reserves anew.
        with waiting, admission, ExitStack() as memory:
            permit = stage.permit(job, value) if stage.permit else None
            if permit is not None:
                reserved.permit = memory.enter_context(permit.acquire(order, give_up=check))
            if stage.memory is not None:
                reserved.keep = memory.enter_context(self._memory.reserve(stage.memory(job, value), order, check))
            has_slot = stage.takes_permit and reserved.permit is not None
            with nullcontext() if has_slot else stage.slots.acquire(order, give_up=check):
                check()  # the wait may have outlasted the deadline
                waiting.close()
                working = photos.labels(stage.name, "working").track_inprogress()
                with working, self._timed(stage, job, progress, waiting_since_s):
                    result = stage.run(job, value)
            if stage.kept is not None and reserved.keep is not None:
                reserved.keep(stage.kept(job, result))
            if stage.ends_permit and reserved.permit is not None:
                reserved.permit(0)
            reserved.push(memory.pop_all())
            return result

    def _order(self, job: Job, progress: Progress) -> Order:
        return job.origin.topic != self._urgent_topic, progress.started_s

    @contextmanager
    def _abandoned_when_stopping(self) -> Iterator[None]:
        """Once the worker stops, what breaks under a photo is no outcome: the next worker starts the photo again."""
        try:
            yield
        except Exception as exc:
            if self._stopping.is_set():
                raise WorkerStopping("the worker is stopping") from exc
            raise

    @contextmanager
    def _timed(self, stage: Stage[Any, Any], job: Job, progress: Progress, waiting_since_s: float) -> Iterator[None]:
        started_s = self._clock.monotonic()
        self._metrics.stage_wait.labels(stage.name).inc(started_s - waiting_since_s)
        try:
            yield
        finally:
            seconds = self._clock.monotonic() - started_s
            self._metrics.stage_seconds.labels(stage.name).observe(seconds, job.exemplar)
            progress.timings_ms[stage.name] = round(seconds * 1000, 3)

    def _check(self, job: Job, progress: Progress) -> None:
        if self._stopping.is_set():
            raise WorkerStopping("the worker is stopping")
        self._refuse(job)
        if self._seconds_left(job) <= 0:
            raise Expired(f"the deadline {job.recipe.deadline} passed before {progress.stage} was done")

    def _seconds_left(self, job: Job) -> float:
        """Return the time until the job's deadline: infinite without one, and not above zero when it has passed."""
        deadline = job.recipe.deadline
        return math.inf if deadline is None else deadline.timestamp() - self._clock.wall()

    def _back_off(
        self, stage: Stage[Any, Any], job: Job, progress: Progress, exc: Retryable, attempt: int, wait: Wait
    ) -> None:
        """Wait before the next attempt: without end for our own servers, a few times for a place of the request's own.

        One that was slow, or that asks for time, is tried again from the retry topic: here others would wait, too.
        """
        if isinstance(exc, Untried | TakesLong):
            raise exc
        self._metrics.retries.labels(stage.name, exc.code).inc()
        if isinstance(exc, PlaceUnavailable):
            was_slow = progress.timings_ms.get(stage.name, 0.0) >= SLOW_S * 1000
            if progress.attempts >= self._source_attempts or was_slow or (exc.retry_after_s or 0) > _MOMENT_S:
                raise exc
            progress.attempts += 1
        elif attempt == 1:
            log.warning("waiting: %s", exc, extra={"request": job.id, "stage": stage.name})
        if stage.name not in self._succeeded:  # its server may start with this worker, and be there any moment
            attempt = max(min(attempt, 2), attempt - _STARTING_ATTEMPTS)
        wait.begin(exc.code)
        with self._metrics.stage_photos.labels(stage.name, "retrying").track_inprogress():
            self._stopping.wait(min(backoff_s(attempt, exc.retry_after_s), max(0.0, self._seconds_left(job))))


def backoff_s(attempt: int, hint_s: float | None = None) -> float:
    """Return the wait before the next attempt: a server's own hint, up to 5 s.

    Without a hint it doubles from 0.1 s to 5 s, with jitter in its upper half.
    """
    if hint_s is not None:
        return min(hint_s, _LONGEST_WAIT_S)
    ceiling = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempt - 1, 16))
    return ceiling * random.uniform(0.5, 1.0)
