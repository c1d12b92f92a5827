from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial

import msgspec
import numpy as np
import pytest

from consumer.jobs import Progress, Segmentation, Segmented
from consumer.resources.memory_budget import MemoryBudget
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.resources.profile_selector import Selection
from consumer.resources.untried import Untried, UntriedSource
from consumer.resources.waits import Waits
from consumer.runner import Pipeline, Runner, Stage, WorkerStopping, backoff_s
from cutstream.clients.triton import Ensemble
from cutstream.clock import ManualClock, SystemClock
from cutstream.contract.messages import Choice
from cutstream.errors import (
    BackgroundUnavailable,
    Cancelled,
    CutstreamError,
    DestinationUnavailable,
    DeviceOutOfMemory,
    Expired,
    ModelMismatch,
    SourceUnavailable,
    StoreUnavailable,
    TritonUnavailable,
    Unexpected,
    UnreadableImage,
)
from cutstream.images import Image
from cutstream.metrics import Metrics
from tests.support.group import wait_until
from tests.support.jobs import job_of


class InstantEvent(threading.Event):
    """A stopping event whose waits return at once and are recorded. It is set in wait number `set_after`.

    The waits take their time on `clock`, if there is one.
    """

    def __init__(self, set_after: int | None = None, clock: ManualClock | None = None) -> None:
        super().__init__()
        self.clock = clock
        self.waits: list[float] = []
        self.set_after = set_after

    def wait(self, timeout=None):
        self.waits.append(timeout)
        if self.clock:
            self.clock.sleep(timeout)
        if len(self.waits) == self.set_after:
            self.set()
        return self.is_set()


class Execution:
    """A job with these request fields, which `run` carries through `steps`, and its progress."""

    def __init__(
        self,
        *steps,
        stopping=None,
        clock=None,
        attempts=3,
        memory=None,
        kept=None,
        refuse=lambda job: None,
        admission=None,
        permit=None,
        **request,
    ) -> None:
        clock, slots = clock or ManualClock(), PrioritySemaphore(1)
        self.slots = slots
        self.job = job_of(**request)
        self.progress = Progress(clock.monotonic())
        self.reserved: list[float] = []
        budget = MemoryBudget(100, self.reserved.append)
        stages = tuple(
            Stage(
                f"step{i}",
                step,
                slots,
                memory=(lambda job, value: memory) if memory else None,
                kept=kept,
                admission=admission,
                permit=permit and (lambda job, value: permit) if i == 0 else None,
                takes_permit=permit is not None,
                ends_permit=i == 1,
            )
            for i, step in enumerate(steps)
        )
        self._runner = Runner(
            Pipeline(stages),
            budget,
            Metrics(),
            clock,
            attempts,
            stopping or InstantEvent(),
            Waits(clock),
            refuse=refuse,
        )

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


def test_a_server_that_may_be_starting_is_tried_often_for_some_seconds_and_one_that_answered_before_is_not() -> None:
    stopping, away = InstantEvent(), [TritonUnavailable("away")]
    step = failing(*away * 50)
    execution = Execution(lambda job, value: step(job, value), stopping=stopping)
    execution.run()
    assert max(stopping.waits[:42]) <= 0.2
    assert stopping.waits[-1] > 2
    stopping.waits.clear()
    step = failing(*away * 10)
    execution.run()
    assert min(stopping.waits[6:]) > 2


@pytest.mark.parametrize("error", [SourceUnavailable("timeout"), BackgroundUnavailable("timeout")])
def test_a_source_is_tried_in_place_as_often_as_configured(error) -> None:
    execution = Execution(failing(*[error] * 3))
    with pytest.raises(type(error)) as raised:
        execution.run()
    assert raised.value is error
    assert (execution.progress.attempts, execution.progress.stage) == (3, "step0")


def test_a_request_from_the_retry_topic_is_tried_once() -> None:
    stopping = InstantEvent()
    execution = Execution(failing(*[SourceUnavailable("timeout")] * 3), stopping=stopping)
    execution.progress.attempts = 4
    with pytest.raises(SourceUnavailable):
        execution.run()
    assert (execution.progress.attempts, stopping.waits) == (4, [])


def test_a_source_that_recovers_is_a_success() -> None:
    execution = Execution(failing(SourceUnavailable("503"), SourceUnavailable("503")))
    execution.run()
    assert execution.progress.attempts == 3


def test_a_short_hint_of_a_source_is_followed_and_a_long_one_is_not_waited_for_in_place() -> None:
    stopping = InstantEvent()
    errors = [SourceUnavailable("429", retry_after_s=1.0), SourceUnavailable("429", retry_after_s=2.0)]
    execution = Execution(failing(*errors), stopping=stopping)
    with pytest.raises(SourceUnavailable) as raised:
        execution.run()
    assert raised.value is errors[1]
    assert (stopping.waits, execution.progress.attempts) == ([1.0], 2)


def test_a_source_that_was_slow_is_not_tried_again_in_place() -> None:
    clock, stopping = ManualClock(), InstantEvent()

    def time_out(job, value):
        clock.sleep(1.0)
        raise SourceUnavailable("timed out")

    execution = Execution(time_out, stopping=stopping, clock=clock)
    with pytest.raises(SourceUnavailable):
        execution.run()
    assert (stopping.waits, execution.progress.attempts) == ([], 1)


def test_a_stage_that_is_not_admitted_takes_no_slot_and_is_not_tried_again() -> None:
    entered = []

    @contextmanager
    def admission(job, order, give_up):
        entered.append(order)
        raise UntriedSource("silent", "silent")
        yield

    execution = Execution(failing(), admission=admission)
    with pytest.raises(Untried):
        execution.run()
    assert len(entered) == 1
    assert execution.progress.timings_ms == {}


def test_an_admission_lasts_for_one_attempt() -> None:
    events: list[str] = []

    @contextmanager
    def admission(job, order, give_up):
        events.append("in")
        try:
            yield
        finally:
            events.append("out")

    def step(job, value):
        events.append("run")
        if events.count("run") == 1:
            raise SourceUnavailable("dropped")
        return value

    Execution(step, lambda job, value: events.append("next"), admission=admission).run()
    assert events == ["in", "run", "out"] * 2 + ["in", "next", "out"]


def test_a_long_hint_of_our_own_servers_is_followed_up_to_a_limit() -> None:
    stopping = InstantEvent()
    Execution(failing(StoreUnavailable("503", retry_after_s=9999.0)), stopping=stopping).run()
    assert stopping.waits == [5.0]


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


def test_a_job_expires_at_its_deadline_while_it_waits_for_our_own_servers() -> None:
    clock = ManualClock()
    stopping = InstantEvent(clock=clock)
    deadline = datetime.fromtimestamp(clock.wall() + 20, timezone.utc)
    execution = Execution(failing(*[TritonUnavailable("away")] * 50), stopping=stopping, clock=clock, deadline=deadline)
    with pytest.raises(Expired, match="before step0 was done"):
        execution.run()
    assert sum(stopping.waits) == pytest.approx(20)


class Contest:
    """A job that waits for the memory or the slot of its only stage while the test holds it."""

    def __init__(self, resource: str) -> None:
        self.clock, self.stopping = ManualClock(), threading.Event()
        self.downloads: list[str] = []
        self.outcomes: list[BaseException] = []
        self.budget, self.slots = MemoryBudget(100), PrioritySemaphore(1)
        amount = 60 if resource == "memory" else 1
        stage = Stage("fetch", self._run, self.slots, memory=lambda job, value: amount)
        self._runner = Runner(
            Pipeline((stage,)), self.budget, Metrics(), self.clock, 3, self.stopping, Waits(self.clock), "urgent"
        )
        self.queue, self.hold = {
            "memory": (self.budget._bytes, lambda: self.budget.reserve(60)),
            "slot": (self.slots, self.slots.acquire),
        }[resource]

    def _run(self, job, value):
        self.downloads.append(job.id)
        return value

    def carry(self, **request) -> threading.Thread:
        """Start to carry a job with these fields. Return when it waits."""
        job = job_of(**request)
        if request.get("id") == "urgent":
            job = replace(job, origin=msgspec.structs.replace(job.origin, topic="urgent"))
        waiting = len(self.queue._waiting)
        thread = threading.Thread(target=self._carry, args=(job,), daemon=True)
        thread.start()
        wait_until(lambda: len(self.queue._waiting) > waiting, "the job does not wait")
        return thread

    def _carry(self, job) -> None:
        try:
            self._runner.carry(job, Progress(self.clock.monotonic()))
        except CutstreamError as exc:
            self.outcomes.append(exc)


@pytest.fixture(params=["memory", "slot"])
def contest(request) -> Contest:
    return Contest(request.param)


def test_a_job_expires_while_it_waits_for_memory_or_a_slot(contest) -> None:
    with contest.hold():
        thread = contest.carry(deadline=datetime.fromtimestamp(contest.clock.wall() + 20, timezone.utc))
        contest.clock.sleep(20)
        thread.join(5)
    assert [type(outcome) for outcome in contest.outcomes] == [Expired]
    assert contest.downloads == []


def test_a_job_whose_deadline_passed_while_it_waited_costs_no_download(contest, monkeypatch) -> None:
    monkeypatch.setattr("consumer.resources.priority_semaphore._CHECK_INTERVAL_S", 3600)
    with contest.hold():
        thread = contest.carry(deadline=datetime.fromtimestamp(contest.clock.wall() + 20, timezone.utc))
        contest.clock.sleep(20)
    thread.join(5)
    assert [type(outcome) for outcome in contest.outcomes] == [Expired]
    assert contest.downloads == []


def test_a_stopping_worker_abandons_jobs_that_wait_for_memory_or_a_slot(contest) -> None:
    with contest.hold():
        thread = contest.carry()
        contest.stopping.set()
        thread.join(5)
    assert [type(outcome) for outcome in contest.outcomes] == [WorkerStopping]
    assert contest.downloads == []


def test_an_urgent_job_is_served_before_older_ones(contest) -> None:
    with contest.hold():
        threads = []
        for id in ("first", "second", "urgent"):
            threads.append(contest.carry(id=id))
            contest.clock.sleep(1)
    for thread in threads:
        thread.join(5)
    assert (contest.downloads, contest.outcomes) == (["urgent", "first", "second"], [])


def test_a_job_that_is_called_off_ends_before_its_next_stage() -> None:
    called_off: list[str] = []

    def refuse(job) -> None:
        if job.id in called_off:
            raise Cancelled("called off")

    execution = Execution(
        lambda j, v: called_off.append(j.id),
        lambda j, v: pytest.fail("a stage ran after the cancellation"),
        refuse=refuse,
    )
    with pytest.raises(Cancelled):
        execution.run()
    assert execution.progress.stage == "step1"


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


def test_a_job_keeps_only_what_its_stage_states_of_the_value() -> None:
    execution = Execution(lambda job, value: "four", memory=40, kept=lambda job, value: len(value))
    execution.run()
    assert execution.reserved == [40, 4, 0]


def test_a_later_stage_gives_back_what_it_no_longer_needs_and_a_wait_in_the_next_holds_the_rest() -> None:
    """As a photo whose pixels are encoded waits for its destination."""
    budget, clock = MemoryBudget(100), ManualClock()
    held: list[float] = []
    budget._bytes._observe = held.append
    stages = (
        Stage("decode", lambda job, value: "pixels", PrioritySemaphore(1), memory=lambda job, value: 90),
        Stage("encode", lambda job, value: "file", PrioritySemaphore(1), kept=lambda job, value: len(value)),
        Stage("store", failing(*[StoreUnavailable("away")] * 3), PrioritySemaphore(1)),
    )
    runner = Runner(Pipeline(stages), budget, Metrics(), clock, 3, InstantEvent(), Waits(clock))
    runner.carry(job_of(), Progress(clock.monotonic()))
    assert held == [90, 4, 0]


def test_a_destination_of_the_requests_own_is_not_waited_for() -> None:
    execution = Execution(failing(*[DestinationUnavailable("timed out")] * 9), attempts=2)
    with pytest.raises(DestinationUnavailable):
        execution.run()
    assert execution.progress.attempts == 2


def test_a_failed_attempt_releases_its_memory_before_it_waits() -> None:
    execution = Execution(failing(DeviceOutOfMemory("full"), DeviceOutOfMemory("full")), memory=40)
    execution.run()
    assert execution.reserved == [40, 0, 40, 0, 40, 0]


def test_waiting_for_memory_takes_no_slot_and_is_not_in_the_timings() -> None:
    clock, slots, budget = SystemClock(), PrioritySemaphore(1), MemoryBudget(100)
    stage = Stage("decode", lambda job, value: value, slots, memory=lambda job, value: 60)
    metrics = Metrics()
    runner = Runner(Pipeline((stage,)), budget, metrics, clock, 3, InstantEvent(), Waits(clock))
    progress = Progress(clock.monotonic())
    carrier = threading.Thread(target=lambda: runner.carry(job_of(), progress), daemon=True)
    photos = partial(metrics.registry.get_sample_value, "cutstream_stage_photos")
    with budget.reserve(60):
        carrier.start()
        wait_until(lambda: budget._bytes._waiting, "the job does not wait")
        assert photos({"stage": "decode", "state": "waiting"}) == 1
        with slots.acquire():
            time.sleep(0.1)
    carrier.join(10)
    assert photos({"stage": "decode", "state": "waiting"}) == photos({"stage": "decode", "state": "working"}) == 0
    assert 0 <= progress.timings_ms["decode"] < 50
    waited_s = metrics.registry.get_sample_value("cutstream_stage_wait_seconds_total", {"stage": "decode"})
    assert waited_s is not None
    assert waited_s >= 0.1


@pytest.mark.parametrize("ends", ["in time", "too late"])
def test_a_photo_is_counted_where_it_is_until_it_leaves(ends: str) -> None:
    clock, slots, seen = ManualClock(), PrioritySemaphore(1), []
    metrics = Metrics()

    def photos(state):
        return metrics.registry.get_sample_value("cutstream_stage_photos", {"stage": "store", "state": state}) or 0

    class Pause(InstantEvent):
        def wait(self, timeout=None):
            seen.append(("retrying", photos("retrying"), photos("working")))
            return super().wait(timeout)

    def store(job, value):
        seen.append(("working", photos("waiting"), photos("working")))
        if ends == "too late":
            clock.sleep(1000)
        if len(seen) == 1:
            raise StoreUnavailable("full")

    stage = Stage("store", store, slots)
    runner = Runner(Pipeline((stage,)), MemoryBudget(1), metrics, clock, 3, Pause(), Waits(clock))
    deadline = datetime.fromtimestamp(clock.wall() + 500, timezone.utc)
    with pytest.raises(Expired) if ends == "too late" else nullcontext():
        runner.carry(job_of(deadline=deadline), Progress(clock.monotonic()))
    assert seen[:2] == [("working", 0, 1), ("retrying", 1, 0)]
    assert [photos(state) for state in ("waiting", "working", "retrying")] == [0, 0, 0]


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


def test_long_work_holds_its_permit_instead_of_slots_until_it_is_encoded() -> None:
    permits: list[float] = []
    seen: list[tuple[float, float]] = []

    def step(job, value):
        seen.append((permits[-1], execution.reserved[-1] if execution.reserved else 0))

    execution = Execution(step, step, step, permit=PrioritySemaphore(1, permits.append), memory=10)
    with execution.slots.acquire():  # others have all the slots
        execution.run()
    assert [permit for permit, _ in seen] == [1, 1, 0]
    assert permits[-1] == 0


def test_who_waits_for_a_permit_holds_no_memory_and_expires_at_the_deadline() -> None:
    permit = PrioritySemaphore(1)
    execution = Execution(
        failing(), permit=permit, memory=10, clock=SystemClock(), deadline=datetime(2020, 1, 1, tzinfo=timezone.utc)
    )
    with permit.acquire(), pytest.raises(Expired):
        execution.run()
    assert not any(execution.reserved)
