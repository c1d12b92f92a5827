from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from datetime import datetime, timezone

import numpy as np
import pytest

from consumer.jobs import Progress, Segmentation, Segmented
from consumer.resources.memory_budget import MemoryBudget
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.profile_selector import Selection
from consumer.runner import Pipeline, Runner, Stage, WorkerStopping, backoff_s
from cutstream.clients.triton import Ensemble
from cutstream.clock import ManualClock, SystemClock
from cutstream.contract.messages import Choice
from cutstream.errors import (
    BackgroundFailed,
    BackgroundUnavailable,
    CutstreamError,
    DeviceOutOfMemory,
    Expired,
    ModelMismatch,
    SourceFailed,
    SourceUnavailable,
    TritonUnavailable,
    Unexpected,
    UnreadableImage,
)
from cutstream.images import Image
from cutstream.metrics import Metrics
from tests.support.jobs import job_of


class InstantEvent(threading.Event):
    """A stopping event whose waits return at once and are recorded. It is set in wait number `set_after`."""

    def __init__(self, set_after: int | None = None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.set_after = set_after

    def wait(self, timeout=None):
        self.waits.append(timeout)
        if len(self.waits) == self.set_after:
            self.set()
        return self.is_set()


class Execution:
    """A job with these request fields, which `run` carries through `steps`, and its progress."""

    def __init__(self, *steps, stopping=None, clock=None, attempts=3, memory=None, **request) -> None:
        clock, slots = clock or ManualClock(), PrioritySemaphore(1)
        self.job = job_of(**request)
        self.progress = Progress(clock.monotonic())
        self.reserved: list[float] = []
        budget = MemoryBudget(100, self.reserved.append)
        stages = tuple(
            Stage(f"step{i}", step, slots, memory=(lambda job, value: memory) if memory else None)
            for i, step in enumerate(steps)
        )
        self._runner = Runner(Pipeline(stages), budget, Metrics(), clock, attempts, stopping or InstantEvent())

    def run(self):
        return self._runner.carry(self.job, self.progress)


def failing(*errors):
    """Return a step that raises these errors one after the other and then succeeds."""
    left = list(errors)

    def step(job, value):
        if left:
            raise left.pop(0)
        return value

    return step


def test_each_stage_gets_the_value_of_the_stage_before() -> None:
    execution = Execution(lambda j, v: [v.image], lambda j, v: [*v, "second"])
    assert execution.run() == ["file:///a.png", "second"]
    assert set(execution.progress.timings_ms) == {"step0", "step1"}


def test_our_own_servers_are_waited_for_without_end() -> None:
    stopping = InstantEvent()
    execution = Execution(failing(*[TritonUnavailable("away")] * 50), stopping=stopping)
    execution.run()
    assert len(stopping.waits) == 50
    assert execution.progress.attempts == 1


def test_a_source_is_tried_as_often_as_configured() -> None:
    execution = Execution(failing(*[SourceUnavailable("timeout")] * 3))
    with pytest.raises(SourceFailed, match=r"timeout \(3 attempts\)"):
        execution.run()
    assert (execution.progress.attempts, execution.progress.stage) == (3, "step0")


def test_a_background_is_tried_as_often_and_fails_with_its_own_error() -> None:
    with pytest.raises(BackgroundFailed, match=r"background: timeout \(3 attempts\)") as raised:
        Execution(failing(*[BackgroundUnavailable("background: timeout")] * 3)).run()
    assert raised.value.retryable
    assert raised.value.code == BackgroundUnavailable.code != SourceFailed.code


def test_a_source_that_recovers_is_a_success() -> None:
    execution = Execution(failing(SourceUnavailable("503"), SourceUnavailable("503")))
    execution.run()
    assert execution.progress.attempts == 3


def test_the_retry_hint_of_a_server_is_followed_up_to_a_limit() -> None:
    stopping = InstantEvent()
    errors = [SourceUnavailable("429", retry_after_s=7.0), SourceUnavailable("429", retry_after_s=9999.0)]
    Execution(failing(*errors), stopping=stopping).run()
    assert stopping.waits == [7.0, 30.0]


@pytest.mark.parametrize("error", [UnreadableImage("bad"), ModelMismatch("tensors")])
def test_named_errors_pass_through(error) -> None:
    with pytest.raises(type(error)) as raised:
        Execution(failing(error)).run()
    assert raised.value is error


@pytest.mark.logs_errors
def test_an_unexpected_exception_becomes_a_named_error_with_its_stage() -> None:
    with pytest.raises(Unexpected, match=r"ZeroDivisionError in step1"):
        Execution(lambda j, v: v, lambda j, v: 1 // 0).run()


def test_the_deadline_is_checked_between_stages() -> None:
    clock = ManualClock()
    deadline = datetime.fromtimestamp(clock.wall() + 5, timezone.utc)

    def slow(job, value):
        clock.sleep(10)
        return value

    execution = Execution(
        slow, lambda j, v: pytest.fail("a stage ran after the deadline"), clock=clock, deadline=deadline
    )
    with pytest.raises(Expired):
        execution.run()
    assert execution.progress.stage == "step1"


@pytest.mark.parametrize(
    "error", [RuntimeError("cannot schedule"), UnreadableImage("killed"), TritonUnavailable("closed")]
)
def test_what_breaks_while_the_worker_stops_is_no_outcome_and_is_not_logged(error: Exception, caplog) -> None:
    stopping = threading.Event()

    def step(job, value):
        stopping.set()
        raise error

    with pytest.raises(WorkerStopping):
        Execution(step, stopping=stopping).run()
    assert not caplog.records


def test_a_stopping_worker_abandons_waiting_jobs() -> None:
    stopping = InstantEvent(set_after=2)
    with pytest.raises(WorkerStopping):
        Execution(failing(*[TritonUnavailable("away")] * 50), stopping=stopping).run()
    assert len(stopping.waits) == 2


def test_backoff_doubles_to_its_limit_with_jitter() -> None:
    for attempt, longest_s in [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.2), (7, 5.0), (40, 5.0)]:
        waits = [backoff_s(attempt) for _ in range(50)]
        assert all(longest_s / 2 <= wait <= longest_s for wait in waits)
        assert len(set(waits)) > 1, "there is no jitter"


@pytest.mark.parametrize(
    "error",
    [
        None,
        UnreadableImage("bad"),
        Expired("late"),
        ModelMismatch("tensors"),
        WorkerStopping("stopping"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.logs_errors
def test_memory_is_reserved_until_the_job_ends_with_or_without_an_error(error: Exception | None) -> None:
    def last(job, value):
        reserved_in_stage.append(execution.reserved[-1])
        if error is not None:
            raise error
        return value

    reserved_in_stage: list[float] = []
    execution = Execution(lambda job, value: value, last, memory=30)
    expected = type(error) if isinstance(error, CutstreamError) else Unexpected
    with nullcontext() if error is None else pytest.raises(expected):
        execution.run()
    assert (reserved_in_stage, execution.reserved[-1]) == ([60.0], 0.0)


def test_a_failed_attempt_releases_its_memory_before_it_waits() -> None:
    execution = Execution(failing(DeviceOutOfMemory("full"), DeviceOutOfMemory("full")), memory=40)
    execution.run()
    assert execution.reserved == [40, 0, 40, 0, 40, 0]


def test_waiting_for_memory_takes_no_slot_and_is_not_in_the_timings() -> None:
    clock, slots, budget = SystemClock(), PrioritySemaphore(1), MemoryBudget(100)
    stage = Stage("decode", lambda job, value: value, slots, memory=lambda job, value: 60)
    metrics = Metrics()
    runner = Runner(Pipeline((stage,)), budget, metrics, clock, 3, InstantEvent())
    progress = Progress(clock.monotonic())
    carrier = threading.Thread(target=lambda: runner.carry(job_of(), progress), daemon=True)
    with budget.reserve(60):
        carrier.start()
        while not budget._queue:
            time.sleep(0.001)
        with slots.acquire():
            time.sleep(0.1)
    carrier.join(10)
    assert 0 <= progress.timings_ms["decode"] < 50
    waited_s = metrics.registry.get_sample_value("cutstream_stage_wait_seconds_total", {"stage": "decode"})
    assert waited_s is not None
    assert waited_s >= 0.1


def test_a_failure_after_segmentation_keeps_the_selected_profile() -> None:
    selection = Selection("fast", Choice(reason="time", detail="fast needs 0.20 s"))
    pixels = np.zeros((2, 2, 3), np.uint8)
    segmented = Segmented(
        Image(pixels), pixels[..., 0], Segmentation(selection, Ensemble("cutout_fast", "1", 2, 2, 1), 0)
    )
    execution = Execution(lambda job, value: segmented, failing(UnreadableImage("bad")))
    with pytest.raises(UnreadableImage):
        execution.run()
    assert execution.progress.selection == selection
