"""The loop against a scripted reader and committer; the same promises are kept against real servers in tests/e2e."""

from __future__ import annotations

import threading
import time
from collections import deque

import pytest

from consumer.delivery.outcomes import Answered, Crashed, Outcome
from consumer.handler import Task
from consumer.loop import Loop
from consumer.window import Window
from cutstream.clients.kafka import CommitRefused, Partition, Polled, Record
from cutstream.clock import SystemClock
from cutstream.errors import BrokerUnavailable, ModelMismatch, PoisonLimit
from cutstream.metrics import Metrics
from cutstream.settings import WorkerSettings

P = Partition("requests", 0)
STABLE = object()


def records(*offsets, partition=P):
    return [Record(partition, offset, 0, None, b"", []) for offset in offsets]


class ScriptedReader:
    """Plays one step per poll: a Polled, or an exception to raise; then nothing."""

    def __init__(self, *steps) -> None:
        self.steps = deque(steps)
        self.rewound: list[set[Partition]] = []
        self.paused: list[bool] = []
        self.timeouts: list[float] = []
        self.membership = STABLE
        self.partitions = frozenset({P})
        self.exhausted = threading.Event()

    def poll(self, timeout_s, max_records):
        self.timeouts.append(timeout_s)
        if not self.steps:
            self.exhausted.set()
            return Polled([])
        step = self.steps.popleft()
        if isinstance(step, Exception):
            raise step
        return step

    def rewind(self, partitions):
        self.rewound.append(set(partitions))

    def pause(self, full):
        self.paused.append(full)

    def end_offset(self, partition):
        return None


class RecordingCommitter:
    def __init__(self, *errors) -> None:
        self.errors = deque(errors)
        self.commits: list[dict[Partition, int]] = []

    def commit(self, records, offsets, membership):
        assert membership is STABLE
        if self.errors and (error := self.errors.popleft()):
            raise error
        self.commits.append(dict(offsets))


def answered(task: Task, **changes) -> Answered:
    return Answered(**{"tracked": task.tracked, "started_s": 0.0, "timestamp_ms": 0} | changes)


def run(reader, committer, work=answered, until=None, **settings):
    metrics = Metrics()
    options = {"commit_interval_s": 0.001, "drain_timeout_s": 5.0} | settings
    window = Window(options.pop("size", 4), work)
    window.start()
    loop = Loop(reader, committer, window, metrics, SystemClock(), WorkerSettings(**options))
    stop = threading.Event()
    finished = until or (lambda: reader.exhausted.is_set())

    def watch():
        while not finished():
            threading.Event().wait(0.005)
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    loop.run(stop)
    return metrics


def sample(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_results_and_offsets_are_committed_and_counted() -> None:
    reader = ScriptedReader(Polled([], gained=frozenset({P})), Polled(records(0, 1, 2)))
    committer = RecordingCommitter()
    metrics = run(reader, committer)
    assert committer.commits[-1] == {P: 3}
    assert sample(metrics, "cutstream_requests_total", status="ok", code="") == 3


def test_a_refused_transaction_starts_again_at_the_committed_offsets() -> None:
    reader = ScriptedReader(Polled(records(0, 1)))
    committer = RecordingCommitter(CommitRefused("fenced"))

    def until():
        if len(reader.rewound) == 1 and not committer.commits and not reader.steps:
            reader.steps.append(Polled(records(0, 1)))
        return bool(committer.commits) and committer.commits[-1] == {P: 2}

    metrics = run(reader, committer, until=until)
    assert reader.rewound[0] == {P}
    assert sample(metrics, "cutstream_commits_total", outcome="refused") == 1
    assert sample(metrics, "cutstream_requests_total", status="ok", code="") == 2


def test_an_outcome_of_a_lost_partition_is_not_published() -> None:
    gate = threading.Event()
    reader = ScriptedReader(Polled(records(0)), Polled([], lost=frozenset({P})))
    reader.partitions = frozenset()
    committer = RecordingCommitter()

    def work(task):
        gate.wait(5)
        return answered(task)

    def until():
        if reader.exhausted.is_set():
            gate.set()
        return gate.is_set()

    metrics = run(reader, committer, work, until)
    assert committer.commits == []
    assert sample(metrics, "cutstream_discarded_outcomes_total") == 1


def test_nothing_is_committed_while_the_group_is_not_stable() -> None:
    reader, committer = ScriptedReader(Polled(records(0))), RecordingCommitter()
    reader.membership = None
    run(reader, committer, drain_timeout_s=0.2)
    assert committer.commits == []
    assert min(reader.timeouts) > 0, "joining makes no progress in polls without time, and the loop spins"


def test_while_the_group_is_joined_only_polls_wait(monkeypatch) -> None:
    gate, waits, collect = threading.Event(), [], Window.collect

    def record(window, timeout_s):
        waits.append(timeout_s)
        return collect(window, timeout_s)

    def work(task):
        gate.wait(5)
        return answered(task)

    def until():
        if len(waits) > 10:
            gate.set()
        return gate.is_set()

    monkeypatch.setattr(Window, "collect", record)
    reader = ScriptedReader(Polled(records(0)))
    reader.membership = None
    run(reader, RecordingCommitter(), work, until, drain_timeout_s=0.2, size=1)
    assert set(waits) == {0.0}, "a join that ends while the loop waits elsewhere is thrown away"


def test_a_full_window_pauses_and_a_free_one_resumes() -> None:
    gate = threading.Event()
    reader = ScriptedReader(Polled(records(0, 1)))

    def work(task):
        gate.wait(5)
        return answered(task)

    def until():
        if reader.paused[-3:] == [True, True, True]:
            gate.set()
        return gate.is_set() and reader.paused[-1] is False

    run(reader, RecordingCommitter(), work, until, size=2)
    assert True in reader.paused


def test_a_drain_finishes_and_commits_what_is_under_way() -> None:
    started = threading.Event()
    reader, committer = ScriptedReader(Polled(records(0))), RecordingCommitter()

    def work(task):
        started.set()
        threading.Event().wait(0.2)
        return answered(task)

    run(reader, committer, work, until=started.is_set, commit_interval_s=30)
    assert committer.commits == [{P: 1}]


def test_a_drain_ends_in_time_and_leaves_the_rest_to_the_next_worker() -> None:
    reader, committer = ScriptedReader(Polled(records(0, 1))), RecordingCommitter()

    def work(task):
        if task.record.offset == 1:
            threading.Event().wait(60)
        return answered(task)

    run(reader, committer, work, drain_timeout_s=0.3)
    assert committer.commits == [{P: 1}]


def test_poison_in_a_row_stops_the_worker() -> None:
    reader = ScriptedReader(Polled(records(0, 1, 2)))

    def work(task):
        return answered(task, status="failed", code="invalid_request")

    with pytest.raises(PoisonLimit, match="invalid_request"):
        run(reader, RecordingCommitter(), work, max_consecutive_failures=3)


def test_a_success_between_ends_the_run_of_poison() -> None:
    reader, committer = ScriptedReader(Polled(records(0, 1, 2))), RecordingCommitter()

    def work(task):
        return answered(task, status="ok" if task.record.offset == 1 else "failed")

    run(reader, committer, work, size=1, max_consecutive_failures=2)
    assert committer.commits[-1] == {P: 3}


def test_a_fatal_error_ends_the_loop_with_nothing_more_committed() -> None:
    reader, committer = ScriptedReader(Polled(records(0))), RecordingCommitter()
    with pytest.raises(ModelMismatch):
        run(reader, committer, lambda task: Crashed(task.tracked, ModelMismatch("tensors")))
    assert committer.commits == []


def test_a_broker_away_is_waited_for() -> None:
    reader, committer = ScriptedReader(BrokerUnavailable("away"), Polled(records(0))), RecordingCommitter()
    metrics = run(reader, committer)
    assert committer.commits == [{P: 1}]
    assert sample(metrics, "cutstream_retries_total", stage="poll", reason="broker_unavailable") == 1


def test_tidies_up_after_work_and_not_while_there_is_none(monkeypatch) -> None:
    monkeypatch.setattr("consumer.loop._TIDY_S", 0.2)
    tidied: list[float] = []
    window: Window[Task, Outcome] = Window(4, answered)
    window.start()
    reader = ScriptedReader(Polled(records(0, 1), gained=frozenset({P})))
    loop = Loop(
        reader,
        RecordingCommitter(),
        window,
        Metrics(),
        SystemClock(),
        WorkerSettings(commit_interval_s=0.001, drain_timeout_s=5.0),
        lambda: tidied.append(time.monotonic()),
    )
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    loop.run(stop)
    assert len(tidied) == 1
