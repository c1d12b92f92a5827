"""The loop with a broker in memory. tests/e2e checks the same behaviour with real servers."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace

import pytest

from consumer.delivery.outcomes import Answered, Crashed, Outcome, Postponed, Suspicion, TrackedRecord
from consumer.loop import Loop
from consumer.window import Window
from cutstream.clients.kafka import CommitRefused, OutgoingRecord, Partition, Polled
from cutstream.clock import ManualClock, SystemClock
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.errors import BrokerUnavailable, ModelMismatch, PoisonLimit
from cutstream.metrics import Metrics
from cutstream.settings import WorkerSettings
from tests.support.group import wait_until
from tests.support.memory_broker import MemoryBroker, MemoryCommitter, MemoryReader

P = Partition("requests", 0)
KEY_OF_PARTITION_1 = b"a"


class ObservedReader(MemoryReader):
    """Records the loop's calls. Its first polls raise `errors`."""

    def __init__(self, broker, errors=()) -> None:
        super().__init__(broker)
        self.errors = deque(errors)
        self.rewound: list[set[Partition]] = []
        self.wanted: list[int] = []
        self.held: list[frozenset[Partition]] = []
        self.timeouts: list[float] = []
        self.exhausted = threading.Event()

    def poll(self, timeout_s, max_records, held=()):
        if self.caught_up:
            self.exhausted.set()
        self.timeouts.append(timeout_s)
        self.wanted.append(max_records)
        self.held.append(held)
        if self.errors:
            raise self.errors.popleft()
        return super().poll(timeout_s, max_records, held)

    def rewind(self, partitions):
        self.rewound.append(set(partitions))
        super().rewind(partitions)


class UnstableReader(ObservedReader):
    """Delivers records while the group never becomes stable."""

    membership = None


class RefusingCommitter(MemoryCommitter):
    """Raises `errors` for the first commits."""

    def __init__(self, broker, *errors) -> None:
        super().__init__(broker)
        self.errors = deque(errors)

    def commit(self, records, offsets, membership):
        if self.errors:
            raise self.errors.popleft()
        super().commit(records, offsets, membership)


class SlowCommitter(MemoryCommitter):
    """Waits before each transaction, so that its member can be thrown out first."""

    def commit(self, records, offsets, membership):
        time.sleep(0.005)
        super().commit(records, offsets, membership)


def requests(count, partitions=1, retry=0):
    """Return a broker that holds `count` requests."""
    broker = MemoryBroker(partitions, retry=retry)
    for number in range(count):
        broker.append(OutgoingRecord("requests", None, b"%d" % number))
    return broker


def clients(count):
    broker = requests(count)
    return ObservedReader(broker), MemoryCommitter(broker)


def answered(task: TrackedRecord, **changes) -> Answered:
    result = OutgoingRecord("results", None, task.record.value)
    default = {"tracked": task.tracked, "started_s": 0.0, "timestamp_ms": 0, "records": (result,)}
    return Answered(**default | changes)


def attempts(task: TrackedRecord) -> int:
    return int(dict(task.record.headers).get("attempts", b"0"))


def postponed(task: TrackedRecord) -> Postponed:
    headers = [("attempts", b"%d" % (attempts(task) + 1))]
    retry = OutgoingRecord("retry", task.record.key, task.record.value, headers)
    return Postponed(task.tracked, "failed_image_download", (retry,))


def make_loop(reader, committer, work=answered, metrics=None, callbacks=(), clock=None, **settings):
    options = {"commit_interval_s": 0.001, "drain_timeout_s": 5.0} | settings
    window: Window[TrackedRecord, Outcome] = Window(options.pop("size", 4), work)
    window.start()
    settings = WorkerSettings(**options)
    metrics = metrics or Metrics()
    clock = clock or SystemClock()
    return Loop(reader, committer, window, settings, metrics, clock, retry_topic="retry", **dict(callbacks))


def run(reader, committer, work=answered, until=None, **settings):
    metrics = Metrics()
    loop = make_loop(reader, committer, work, metrics, **settings)
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
    broker = requests(3)
    reader, committer = ObservedReader(broker), MemoryCommitter(broker)
    metrics = run(reader, committer)
    assert committer.commits[-1] == {P: 3}
    assert sample(metrics, "cutstream_requests_total", profile="", status="ok", code="") == 3
    assert sorted(record.value for record in broker.read_all("results")) == [b"0", b"1", b"2"]


def test_a_refused_transaction_starts_again_at_the_committed_offsets() -> None:
    broker = requests(2)
    reader, committer = ObservedReader(broker), RefusingCommitter(broker, CommitRefused("fenced"))

    def until():
        return bool(committer.commits) and committer.commits[-1] == {P: 2}

    metrics = run(reader, committer, until=until)
    assert reader.rewound[0] == {P}
    assert sample(metrics, "cutstream_commits_total", outcome="refused") == 1
    assert sample(metrics, "cutstream_requests_total", profile="", status="ok", code="") == 2


def test_transactions_that_are_refused_again_and_again_show(monkeypatch) -> None:
    broker, stop = requests(2), threading.Event()
    committer = RefusingCommitter(broker, *[CommitRefused("no leader")] * 3)
    seen: list[bool] = []
    loop = make_loop(MemoryReader(broker), committer)

    def commit(*arguments):
        seen.append(loop.commits)
        RefusingCommitter.commit(committer, *arguments)

    monkeypatch.setattr(committer, "commit", commit)
    running = threading.Thread(target=loop.run, args=(stop,))
    running.start()
    wait_until(lambda: committer.commits, "nothing is committed")
    stop.set()
    running.join(5)
    assert seen[:4] == [True, True, True, False]
    assert loop.commits


def test_an_outcome_of_a_lost_partition_is_not_published() -> None:
    started, gate = threading.Event(), threading.Event()
    broker = MemoryBroker(partitions=2)
    reader, committer, other = ObservedReader(broker), MemoryCommitter(broker), MemoryReader(broker)
    broker.append(OutgoingRecord("requests", KEY_OF_PARTITION_1, b""))

    def work(task):
        started.set()
        gate.wait(5)
        return answered(task)

    def until():
        if started.is_set():
            other.poll(0.0, 1)  # a second member takes over partition 1
        if other.partitions:
            gate.set()
        return gate.is_set()

    metrics = run(reader, committer, work, until)
    assert committer.commits == []
    assert sample(metrics, "cutstream_discarded_outcomes_total") == 1


def test_the_work_on_a_stalled_partition_is_dropped_and_counted() -> None:
    class StallingReader(ObservedReader):
        """Reports a stall with the first records, and rewinds as RequestReader does."""

        def poll(self, timeout_s, max_records, held=()):
            polled = super().poll(timeout_s, max_records, held)
            if not polled.records or self.rewound:
                return polled
            self.rewind([P])
            return replace(polled, records=[], stalled=frozenset([P]))

    broker = requests(2)
    metrics = run(StallingReader(broker), MemoryCommitter(broker))
    assert sample(metrics, "cutstream_stalled_partitions_total") == 1
    assert sorted(record.value for record in broker.read_all("results")) == [b"0", b"1"]


def test_partitions_before_a_record_that_cannot_be_read_are_counted() -> None:
    class Obstructed(ObservedReader):
        def poll(self, timeout_s, max_records, held=()):
            return replace(super().poll(timeout_s, max_records, held), unreadable=2)

    broker, metrics = requests(1), Metrics()
    make_loop(Obstructed(broker), MemoryCommitter(broker), answered, metrics)._run_once()
    assert sample(metrics, "cutstream_unreadable_partitions") == 2


def test_what_was_read_again_during_a_commit_is_not_answered_twice() -> None:
    """A stall is cured without a new generation, so nobody refuses the commit that is under way."""
    under_way, read_again = threading.Event(), threading.Event()

    class Stalling(ObservedReader):
        def poll(self, timeout_s, max_records, held=()):
            polled = super().poll(timeout_s, max_records, held)
            if under_way.is_set() and not self.rewound:
                self.rewind([P])
                return Polled([], stalled=frozenset([P]))
            if self.rewound and polled.records:
                read_again.set()
            return polled

    class Waiting(MemoryCommitter):
        def commit(self, records, offsets, membership):
            under_way.set()
            assert read_again.wait(10)
            super().commit(records, offsets, membership)

    broker = requests(3)
    run(Stalling(broker), Waiting(broker), until=lambda: broker.committed.get(P) == 3)
    assert sorted(record.value for record in broker.read_all("results")) == [b"0", b"1", b"2"]


def test_nothing_is_committed_while_the_group_is_not_stable() -> None:
    broker = requests(1)
    reader, committer = UnstableReader(broker), MemoryCommitter(broker)
    run(reader, committer, drain_timeout_s=0.2)
    assert committer.commits == []
    assert min(reader.timeouts) > 0, "the group is not joined in polls without a timeout, and the loop spins"


def test_only_polls_wait_while_the_group_is_joined(monkeypatch) -> None:
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
    broker = requests(1)
    run(UnstableReader(broker), MemoryCommitter(broker), work, until, drain_timeout_s=0.2, size=1)
    assert set(waits) == {0.0}, "the client discards a join that completes while the loop waits elsewhere"


def test_a_full_window_asks_for_nothing_and_a_free_one_reads_on() -> None:
    gate = threading.Event()
    reader, committer = clients(2)

    def work(task):
        gate.wait(5)
        return answered(task)

    def until():
        if reader.wanted[-3:] == [0, 0, 0]:
            gate.set()
        return gate.is_set() and reader.wanted[-1] == 2

    run(reader, committer, work, until, size=2)
    assert committer.commits[-1] == {P: 2}


def test_a_drain_finishes_and_commits_the_requests_in_flight() -> None:
    started = threading.Event()
    reader, committer = clients(1)

    def work(task):
        started.set()
        threading.Event().wait(0.2)
        return answered(task)

    run(reader, committer, work, until=started.is_set, commit_interval_s=30)
    assert committer.commits == [{P: 1}]


def test_a_drain_ends_in_time_and_leaves_the_rest_to_the_next_worker() -> None:
    reader, committer = clients(2)

    def work(task):
        if task.record.offset == 1:
            threading.Event().wait(60)
        return answered(task)

    run(reader, committer, work, drain_timeout_s=0.3)
    assert committer.commits == [{P: 1}]


@pytest.mark.parametrize(
    ("age_s", "unread", "interval_s"),
    [
        (10.0, 100, 0.5),
        (1000.0, 100, 1.0),
        pytest.param(2.0, 100, 0.25, id="a new request among old ones, such as an urgent one"),
        pytest.param(10.0, 20, 0.25, id="a short queue"),
    ],
)
def test_a_backlog_makes_results_wait_for_others_but_not_long_for_their_age(age_s, unread, interval_s) -> None:
    class Aged(MemoryReader):
        def poll(self, timeout_s, max_records, held=()):
            polled = super().poll(0.0, max_records, held)
            written_ms = int((clock.wall() - age_s) * 1000)
            return replace(polled, records=[replace(record, timestamp_ms=written_ms) for record in polled.records])

    def work(task):
        if task.record.offset > 0:
            gate.wait(10)  # something stays in flight, or the result would be committed at once
        return answered(task)

    clock, gate = ManualClock(), threading.Event()
    broker = requests(2)
    committer = MemoryCommitter(broker)
    callbacks = {"known_ends": lambda: {P: 2 + unread}}
    loop = make_loop(Aged(broker), committer, work, clock=clock, callbacks=callbacks, commit_interval_s=0.25)

    def is_finished() -> bool:
        loop._run_once()
        return loop._offsets.finished_count == 1

    try:
        wait_until(is_finished, "there is no result")
        loop._run_once()  # the backlog is known
        clock.sleep(interval_s - 0.01)
        loop._run_once()
        assert loop._commit is None
        clock.sleep(0.02)
        loop._run_once()
        wait_until(lambda: committer.commits, "the result is not committed when it is due")
    finally:
        gate.set()


def test_failures_that_point_to_the_deployment_stop_the_worker_after_a_drain() -> None:
    reader, committer = clients(20)

    def work(task):
        if task.record.offset == 0:
            time.sleep(0.1)  # holds the others of its partition back
        suspicion = Suspicion(str(task.record.offset), "Triton fails")
        return answered(task, status="failed", code="inference_failed", suspicion=suspicion)

    with pytest.raises(PoisonLimit, match="3 × inference_failed"):
        run(reader, committer, work, until=lambda: False, max_consecutive_failures=3)
    committed = committer.commits[-1][P]
    assert 3 <= committed < 20, "what was read is committed, so that a restart goes on behind it"
    assert [record.value for record in reader._broker.read_all("results")] == [b"%d" % n for n in range(committed)]


def test_a_fatal_error_ends_the_loop_with_nothing_more_committed() -> None:
    reader, committer = clients(1)
    with pytest.raises(ModelMismatch):
        run(reader, committer, lambda task: Crashed(task.tracked, ModelMismatch("tensors")))
    assert committer.commits == []


def test_the_loop_waits_for_a_broker_that_is_away() -> None:
    broker = requests(1)
    reader, committer = ObservedReader(broker, [BrokerUnavailable("away")]), MemoryCommitter(broker)
    metrics = run(reader, committer)
    assert committer.commits == [{P: 1}]
    assert sample(metrics, "cutstream_retries_total", stage="poll", reason="broker_unavailable") == 1


def test_memory_is_trimmed_after_work_and_not_when_idle(monkeypatch) -> None:
    monkeypatch.setattr("consumer.loop._TRIM_INTERVAL_S", 0.2)
    trimmed: list[float] = []
    loop = make_loop(*clients(2), callbacks={"trim_memory": lambda: trimmed.append(time.monotonic())})
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    loop.run(stop)
    assert len(trimmed) == 1


def test_the_backlog_is_the_number_of_requests_not_read_yet() -> None:
    gate, backlogs = threading.Event(), []
    reader, committer = clients(5)

    def work(task):
        gate.wait(5)
        return answered(task)

    loop = make_loop(reader, committer, work, callbacks={"on_backlog": backlogs.append}, size=2)
    stop = threading.Event()
    running = threading.Thread(target=loop.run, args=(stop,))
    running.start()
    wait_until(lambda: backlogs[-1:] == [3], "the backlog is never 3")
    gate.set()
    wait_until(lambda: backlogs[-1:] == [0], "the backlog is never 0")
    stop.set()
    running.join(5)


def test_the_backlog_counts_what_the_reader_has_not_fetched() -> None:
    gate, backlogs, metrics = threading.Event(), [], Metrics()
    reader, committer = clients(5)
    callbacks = {"on_backlog": backlogs.append, "known_ends": lambda: {P: 3900}}
    loop = make_loop(reader, committer, lambda task: gate.wait(10) and answered(task), metrics, callbacks, size=2)
    stop = threading.Event()
    running = threading.Thread(target=loop.run, args=(stop,))
    running.start()
    wait_until(lambda: backlogs[-1:] == [3898], "the backlog is not all but the two in flight")
    assert sample(metrics, "cutstream_backlog_records") == 3898
    gate.set()
    stop.set()
    running.join(5)


def test_retries_do_not_count_as_backlog() -> None:
    broker, backlogs = requests(0, retry=1), []
    history = Redelivery(SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=0), not_before_ms=1)
    for _ in range(5):
        broker.append(OutgoingRecord("retry", None, b"", redelivery_headers([], history)))
    loop = make_loop(ObservedReader(broker), MemoryCommitter(broker), callbacks={"on_backlog": backlogs.append}, size=1)
    stop = threading.Event()
    running = threading.Thread(target=loop.run, args=(stop,))
    running.start()
    wait_until(lambda: broker.committed.get(Partition("retry", 0)) == 5, "the retries are not committed")
    stop.set()
    running.join(5)
    assert set(backlogs) == {0}


def test_only_the_retry_topic_tells_what_happened_to_a_request_before() -> None:
    broker, seen = requests(0, retry=1), {}
    history = Redelivery(SourceRecord(topic="requests", partition=0, offset=7, timestamp_ms=0), replay=3)

    def work(task: TrackedRecord) -> Answered:
        seen[task.record.partition.topic] = task.record.headers
        return answered(task)

    headers = [("tenant", b"a"), *redelivery_headers([], history)]
    for topic in ("requests", "retry"):
        broker.append(OutgoingRecord(topic, None, b"", headers))
    run(ObservedReader(broker), MemoryCommitter(broker), work)
    assert seen == {"requests": [("tenant", b"a")], "retry": headers}


def test_a_request_that_waits_holds_its_partition_once_its_share_of_results_is_used_up_and_no_other() -> None:
    broker, gate = requests(60, partitions=2), threading.Event()
    reader, committer = ObservedReader(broker), MemoryCommitter(broker)

    def work(task):
        if (task.record.partition.number, task.record.offset) == (0, 0):
            gate.wait(10)
        return answered(task)

    def until():
        if broker.committed.get(Partition("requests", 1)) == 30 and {P} in reader.held:
            gate.set()
        return gate.is_set() and broker.committed.get(P) == 30

    run(reader, committer, work, until, max_uncommitted=20, commit_max_results=20)
    assert Partition("requests", 1) not in reader.held[-1]


def test_a_postponed_request_is_committed_at_once_and_answered_from_the_retry_topic() -> None:
    broker = requests(5, retry=1)
    reader, committer = ObservedReader(broker), RefusingCommitter(broker, CommitRefused("fenced"))

    def work(task):
        return postponed(task) if task.record.value == b"0" and task.record.partition == P else answered(task)

    metrics = run(reader, committer, work, until=lambda: len(broker.read_all("results")) == 5)
    assert broker.committed == {P: 5, Partition("retry", 0): 1}
    assert [record.value for record in broker.read_all("retry")] == [b"0"]
    assert sorted(record.value for record in broker.read_all("results")) == [b"%d" % n for n in range(5)]
    assert sample(metrics, "cutstream_postponed_total", code="failed_image_download") == 1
    assert sample(metrics, "cutstream_requests_total", profile="", status="ok", code="") == 5


def test_lag_grows_while_nothing_is_committed_and_vanishes_with_its_partition() -> None:
    gate, metrics = threading.Event(), Metrics()
    broker = requests(5)
    reader, other = ObservedReader(broker), MemoryReader(broker)

    def work(task):
        gate.wait(10)
        return answered(task)

    def lag():
        return sample(metrics, "cutstream_consumer_lag_records", topic="requests", partition="0")

    ends = {P: 5}
    loop = make_loop(reader, MemoryCommitter(broker), work, metrics, {"known_ends": ends.copy}, size=2)
    stop = threading.Event()
    running = threading.Thread(target=loop.run, args=(stop,))
    running.start()
    wait_until(lambda: lag() == 5, "the lag is not 5")
    ends[P] = 9
    wait_until(lambda: lag() == 9, "the lag does not grow while the window is full")
    assert sample(metrics, "cutstream_oldest_request_seconds") > 0
    ends[P] = 5
    gate.set()
    wait_until(lambda: lag() == 0, "the lag is not 0 when all is committed")
    wait_until(lambda: sample(metrics, "cutstream_oldest_request_seconds") == 0, "a request is old that is committed")
    broker.throw_out(broker.group.members[0])
    wait_until(lambda: other.poll(0.01, 1) and other.partitions, "the partition does not move")
    wait_until(lambda: lag() is None, "a partition of another worker still has a lag here")
    stop.set()
    running.join(5)


def test_an_answer_is_counted_with_its_profile_its_share_of_the_deadline_and_its_trace() -> None:
    broker, trace = requests(3), {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    allowed_s = {b"0": 4000.0, b"1": 1000.0, b"2": -1.0}

    def work(task):
        now_s = time.time()
        written_ms = int((now_s - 2000) * 1000)
        deadline_s = written_ms / 1000 + allowed_s[task.record.value]
        return answered(task, profile="fast", timestamp_ms=written_ms, deadline_s=deadline_s, exemplar=trace)

    metrics = run(ObservedReader(broker), MemoryCommitter(broker), work)
    assert sample(metrics, "cutstream_requests_total", profile="fast", status="ok", code="") == 3
    shares = {bound: sample(metrics, "cutstream_deadline_used_ratio_bucket", le=bound) for bound in ("0.5", "0.75")}
    assert shares == {"0.5": 0, "0.75": 1}
    assert sample(metrics, "cutstream_deadline_used_ratio_bucket", le="+Inf") == 3
    assert sample(metrics, "cutstream_deadline_used_ratio_sum") == pytest.approx(0.5 + 2 + 2, abs=0.1)
    media_type, text = metrics.exposition("application/openmetrics-text;version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    assert b'# {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"}' in text


def test_a_worker_that_has_no_room_for_a_request_counts_its_pause_and_the_oldest_requests_age(monkeypatch) -> None:
    gate, metrics, broker = threading.Event(), Metrics(), MemoryBroker()
    monkeypatch.setattr(SystemClock, "wall", lambda self: 60.0)  # a record in memory is of time 0
    loop = make_loop(
        MemoryReader(broker), MemoryCommitter(broker), lambda task: gate.wait(10) and answered(task), metrics, size=1
    )
    stop = threading.Event()
    running = threading.Thread(target=loop.run, args=(stop,))
    running.start()
    wait_until(lambda: sample(metrics, "cutstream_assigned_partitions") == 1, "no partition is assigned")
    assert sample(metrics, "cutstream_paused_seconds_total") == 0
    assert sample(metrics, "cutstream_oldest_request_age_seconds") == 0
    broker.append(OutgoingRecord("requests", None, b"0"))
    wait_until(lambda: (sample(metrics, "cutstream_paused_seconds_total") or 0) > 0.2, "the pause is not counted")
    assert sample(metrics, "cutstream_oldest_request_age_seconds") == 60
    gate.set()
    wait_until(lambda: sample(metrics, "cutstream_oldest_request_age_seconds") == 0, "an answered request has an age")
    assert sample(metrics, "cutstream_answered_offset", topic="requests", partition="0") == 1
    stop.set()
    running.join(5)


@pytest.mark.parametrize("postponements", [0, 2])
def test_two_workers_answer_every_request_once_while_members_are_thrown_out(postponements: int) -> None:
    broker, stop = requests(300, partitions=4, retry=2), threading.Event()

    def work(task):
        return answered(task) if attempts(task) >= postponements * (int(task.record.value) % 3) else postponed(task)

    loops = [make_loop(MemoryReader(broker), SlowCommitter(broker), work) for _ in range(2)]
    running = [threading.Thread(target=loop.run, args=(stop,)) for loop in loops]
    for thread in running:
        thread.start()
    total, retries = 300, sum(postponements * (number % 3) for number in range(300))
    committed, deadline = 0, time.monotonic() + 20
    while committed < total + retries:
        assert time.monotonic() < deadline, f"only {committed} of {total + retries} records are committed"
        before, committed = committed, sum(broker.committed.values())
        if committed > before and broker.group.stable:
            broker.throw_out(broker.group.members[0])
        time.sleep(0.002)
    stop.set()
    for thread in running:
        thread.join(10)
    results = [int(record.value) for record in broker.read_all("results")]
    assert sorted(results) == [*range(300)]
    assert len(broker.read_all("retry")) == retries


def test_the_retry_topic_holds_a_quarter_of_the_window_and_no_request_waits_for_it() -> None:
    broker = MemoryBroker(1, retry=1)
    for number in range(20):
        headers = redelivery_headers(
            [], Redelivery(SourceRecord(topic="requests", partition=0, offset=number, timestamp_ms=0))
        )
        broker.append(OutgoingRecord("retry", None, b"slow", headers))
    for _ in range(40):
        broker.append(OutgoingRecord("requests", None, b"quick"))
    slow, most, quick = [], [], []
    released = threading.Event()

    def work(task: TrackedRecord) -> Answered:
        if task.record.value == b"quick":
            quick.append(task)
            return answered(task)
        slow.append(task)
        most.append(len(slow))
        released.wait(5)
        slow.remove(task)
        return answered(task)

    def until() -> bool:
        if len(quick) == 40:
            released.set()
        return len(broker.read_all("results")) == 60

    run(ObservedReader(broker), MemoryCommitter(broker), work, until, size=8, window=8)
    assert released.is_set()
    assert max(most) == 2


def test_without_requests_the_oldest_age_is_exactly_0() -> None:
    metrics, stop = Metrics(), threading.Event()
    ages: list[float] = []
    loop_clears = {"on_backlog": lambda _: ages.append(sample(metrics, "cutstream_oldest_request_age_seconds"))}
    reader, committer = clients(1)
    callbacks = {**loop_clears, "known_ends": lambda: {P: 1}}
    running = threading.Thread(target=make_loop(reader, committer, answered, metrics, callbacks).run, args=(stop,))
    running.start()
    wait_until(lambda: len(ages) > 3 and ages[-2:] == [0.0, 0.0], "the age does not return to 0")
    stop.set()
    running.join(5)
