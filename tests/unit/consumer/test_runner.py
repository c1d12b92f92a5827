from __future__ import annotations

import threading
from datetime import datetime, timezone

import pytest

from consumer.jobs import Job
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.runner import Runner, Stage, WorkerStopping, backoff_s
from cutstream.clients.kafka import Partition, Record
from cutstream.clock import ManualClock
from cutstream.contract.messages import Request
from cutstream.errors import (
    BackgroundFailed,
    BackgroundUnavailable,
    Expired,
    ModelMismatch,
    SourceFailed,
    SourceUnavailable,
    TritonUnavailable,
    Unexpected,
    UnreadableImage,
)
from cutstream.metrics import Metrics

RECORD = Record(Partition("requests", 0), 7, 0, None, b"", [])


class Patient(threading.Event):
    """An abandon event whose waits take no time, and are counted."""

    def __init__(self, set_after: int | None = None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.set_after = set_after

    def wait(self, timeout=None):
        self.waits.append(timeout)
        if len(self.waits) == self.set_after:
            self.set()
        return self.is_set()


def job(**request) -> Job:
    return Job(record=RECORD, request=Request(image="file:///a.png", **request), id="a", profile="general")


def runner(*steps, abandon=None, clock=None, attempts=3) -> Runner:
    places = PrioritySemaphore(1)
    stages = [Stage(f"step{i}", step, places) for i, step in enumerate(steps)]
    return Runner(stages, Metrics(), clock or ManualClock(), attempts, abandon or Patient())


def failing(*errors):
    left = list(errors)

    def step(job, value):
        if left:
            raise left.pop(0)
        return value

    return step


def test_each_stage_gets_what_the_one_before_returned() -> None:
    carried = job()
    result = runner(lambda j, v: [v.image], lambda j, v: [*v, "second"]).carry(carried)
    assert result == ["file:///a.png", "second"]
    assert set(carried.timings_ms) == {"step0", "step1"}


def test_ours_is_waited_for_without_end() -> None:
    abandon = Patient()
    carried = job()
    runner(failing(*[TritonUnavailable("away")] * 50), abandon=abandon).carry(carried)
    assert len(abandon.waits) == 50
    assert carried.attempts == 1


def test_the_source_gets_its_attempts_and_no_more() -> None:
    carried = job()
    with pytest.raises(SourceFailed, match=r"timeout \(3 attempts\)"):
        runner(failing(*[SourceUnavailable("timeout")] * 3)).carry(carried)
    assert (carried.attempts, carried.stage) == (3, "step0")


def test_a_background_gets_the_same_attempts_and_fails_under_its_own_name() -> None:
    with pytest.raises(BackgroundFailed, match=r"background: timeout \(3 attempts\)") as raised:
        runner(failing(*[BackgroundUnavailable("background: timeout")] * 3)).carry(job())
    assert raised.value.retryable
    assert raised.value.code == BackgroundUnavailable.code != SourceFailed.code


def test_a_source_that_recovers_is_a_success() -> None:
    carried = job()
    runner(failing(SourceUnavailable("503"), SourceUnavailable("503"))).carry(carried)
    assert carried.attempts == 3


def test_a_servers_own_hint_is_followed_up_to_a_bound() -> None:
    abandon = Patient()
    errors = [SourceUnavailable("429", retry_after_s=7.0), SourceUnavailable("429", retry_after_s=9999.0)]
    runner(failing(*errors), abandon=abandon).carry(job())
    assert abandon.waits == [7.0, 30.0]


@pytest.mark.parametrize("error", [UnreadableImage("bad"), ModelMismatch("tensors")])
def test_named_errors_pass_through(error) -> None:
    with pytest.raises(type(error)):
        runner(failing(error)).carry(job())


@pytest.mark.logs_errors
def test_a_bug_becomes_a_named_error_with_its_stage() -> None:
    with pytest.raises(Unexpected, match=r"ZeroDivisionError in step1"):
        runner(lambda j, v: v, lambda j, v: 1 // 0).carry(job())


def test_a_deadline_is_kept_between_stages() -> None:
    clock = ManualClock()
    deadline = datetime.fromtimestamp(clock.wall() + 5, timezone.utc)

    def slow(job, value):
        clock.sleep(10)
        return value

    carried = job(deadline=deadline)
    with pytest.raises(Expired):
        runner(slow, lambda j, v: pytest.fail("ran"), clock=clock).carry(carried)
    assert carried.stage == "step1"


def test_a_stopping_worker_abandons_what_waits() -> None:
    with pytest.raises(WorkerStopping):
        runner(failing(*[TritonUnavailable("away")] * 50), abandon=Patient(set_after=2)).carry(job())


def test_backoff_doubles_to_its_ceiling_with_jitter() -> None:
    assert all(0.05 <= backoff_s(1) <= 0.1 for _ in range(50))
    assert all(2.5 <= backoff_s(40) <= 5.0 for _ in range(50))
