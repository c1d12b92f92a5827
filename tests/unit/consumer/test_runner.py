from __future__ import annotations

import threading
import time
from contextlib import suppress
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


class Patient(threading.Event):
    """A stopping event whose waits take no time, and are counted."""

    def __init__(self, set_after: int | None = None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.set_after = set_after

    def wait(self, timeout=None):
        self.waits.append(timeout)
        if len(self.waits) == self.set_after:
            self.set()
        return self.is_set()


class Carried:
    """A job of these request fields, carried through `steps`, and its progress."""

    def __init__(self, *steps, stopping=None, clock=None, attempts=3, memory=None, **request) -> None:
        clock, slots = clock or ManualClock(), PrioritySemaphore(1)
        self.job = job_of(**request)
        self.progress = Progress(clock.monotonic())
        self.held: list[float] = []
        budget = MemoryBudget(100, self.held.append)
        stages = tuple(
            Stage(f"step{i}", step, slots, memory=(lambda job, value: memory) if memory else None)
            for i, step in enumerate(steps)
        )
        self._runner = Runner(Pipeline(stages), budget, Metrics(), clock, attempts, stopping or Patient())

    def run(self):
        return self._runner.carry(self.job, self.progress)


def failing(*errors):
    left = list(errors)

    def step(job, value):
        if left:
            raise left.pop(0)
        return value

    return step


def test_each_stage_gets_what_the_one_before_returned() -> None:
    carried = Carried(lambda j, v: [v.image], lambda j, v: [*v, "second"])
    assert carried.run() == ["file:///a.png", "second"]
    assert set(carried.progress.timings_ms) == {"step0", "step1"}


def test_ours_is_waited_for_without_end() -> None:
    stopping = Patient()
    carried = Carried(failing(*[TritonUnavailable("away")] * 50), stopping=stopping)
    carried.run()
    assert len(stopping.waits) == 50
    assert carried.progress.attempts == 1


def test_the_source_gets_its_attempts_and_no_more() -> None:
    carried = Carried(failing(*[SourceUnavailable("timeout")] * 3))
    with pytest.raises(SourceFailed, match=r"timeout \(3 attempts\)"):
        carried.run()
    assert (carried.progress.attempts, carried.progress.stage) == (3, "step0")


def test_a_background_gets_the_same_attempts_and_fails_under_its_own_name() -> None:
    with pytest.raises(BackgroundFailed, match=r"background: timeout \(3 attempts\)") as raised:
        Carried(failing(*[BackgroundUnavailable("background: timeout")] * 3)).run()
    assert raised.value.retryable
    assert raised.value.code == BackgroundUnavailable.code != SourceFailed.code


def test_a_source_that_recovers_is_a_success() -> None:
    carried = Carried(failing(SourceUnavailable("503"), SourceUnavailable("503")))
    carried.run()
    assert carried.progress.attempts == 3


def test_a_servers_own_hint_is_followed_up_to_a_bound() -> None:
    stopping = Patient()
    errors = [SourceUnavailable("429", retry_after_s=7.0), SourceUnavailable("429", retry_after_s=9999.0)]
    Carried(failing(*errors), stopping=stopping).run()
    assert stopping.waits == [7.0, 30.0]


@pytest.mark.parametrize("error", [UnreadableImage("bad"), ModelMismatch("tensors")])
def test_named_errors_pass_through(error) -> None:
    with pytest.raises(type(error)):
        Carried(failing(error)).run()


@pytest.mark.logs_errors
def test_a_bug_becomes_a_named_error_with_its_stage() -> None:
    with pytest.raises(Unexpected, match=r"ZeroDivisionError in step1"):
        Carried(lambda j, v: v, lambda j, v: 1 // 0).run()


def test_a_deadline_is_kept_between_stages() -> None:
    clock = ManualClock()
    deadline = datetime.fromtimestamp(clock.wall() + 5, timezone.utc)

    def slow(job, value):
        clock.sleep(10)
        return value

    carried = Carried(slow, lambda j, v: pytest.fail("ran"), clock=clock, deadline=deadline)
    with pytest.raises(Expired):
        carried.run()
    assert carried.progress.stage == "step1"


def test_a_stopping_worker_abandons_what_waits() -> None:
    with pytest.raises(WorkerStopping):
        Carried(failing(*[TritonUnavailable("away")] * 50), stopping=Patient(set_after=2)).run()


def test_backoff_doubles_to_its_ceiling_with_jitter() -> None:
    assert all(0.05 <= backoff_s(1) <= 0.1 for _ in range(50))
    assert all(2.5 <= backoff_s(40) <= 5.0 for _ in range(50))


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
def test_memory_is_kept_until_the_job_ends_however_it_ends(error: Exception | None) -> None:
    def last(job, value):
        seen.append(carried.held[-1])
        if error is not None:
            raise error
        return value

    seen: list[float] = []
    carried = Carried(lambda job, value: value, last, memory=30)
    with suppress(type(error)) if isinstance(error, CutstreamError) else suppress(Unexpected):
        carried.run()
    assert (seen, carried.held[-1]) == ([60.0], 0.0)


def test_a_failed_attempt_gives_its_memory_back_before_it_waits() -> None:
    carried = Carried(failing(DeviceOutOfMemory("full"), DeviceOutOfMemory("full")), memory=40)
    carried.run()
    assert carried.held == [40, 0, 40, 0, 40, 0]


def test_waiting_for_memory_holds_no_slot_and_counts_in_no_timing() -> None:
    clock, slots, budget = SystemClock(), PrioritySemaphore(1), MemoryBudget(100)
    stage = Stage("decode", lambda job, value: value, slots, memory=lambda job, value: 60)
    runner = Runner(Pipeline((stage,)), budget, Metrics(), clock, 3, Patient())
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


def test_a_failure_after_segmentation_still_says_which_profile_was_selected() -> None:
    selection = Selection("fast", Choice(reason="time", detail="fast needs 0.20 s"))
    pixels = np.zeros((2, 2, 3), np.uint8)
    segmented = Segmented(
        Image(pixels), pixels[..., 0], Segmentation(selection, Ensemble("cutout_fast", "1", 2, 2, 1), 0)
    )
    carried = Carried(lambda job, value: segmented, failing(UnreadableImage("bad")))
    with pytest.raises(UnreadableImage):
        carried.run()
    assert carried.progress.selection == selection
