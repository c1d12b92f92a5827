"""Follow requests with a scripted writer and reader; tests/e2e has real ones."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import pytest

from cutstream.clients.kafka import OutgoingRecord, Partition, Record
from cutstream.clock import ManualClock
from cutstream.contract.messages import Request, Result, SourceRecord, decode_request, encode
from cutstream.settings import KafkaSettings
from producer import following as module
from producer.following import Batch, NoProgress, RequestFollower

SOURCE = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=0)


def result(id: str, status="ok", error=None) -> Record:
    value = encode(Result(id=id, status=status, source=SOURCE, error=error))
    return Record(Partition("results", 0), 0, 0, None, value, [])


class Worker:
    """A stand-in for Kafka and a worker.

    It answers each request after `delay_s`. With its first answers it also answers the `extra` ids.
    """

    def __init__(self, clock: ManualClock, delay_s: float = 0.0, extra=(), answers: bool = True) -> None:
        self.clock = clock
        self.delay_s = delay_s
        self.extra = deque(extra)
        self.answers = answers
        self.written: list[tuple[float, OutgoingRecord]] = []
        self.due: deque[tuple[float, str]] = deque()
        self.opened: list[str] = []

    def write(self, records) -> None:
        for record in records:
            self.written.append((self.clock.monotonic(), record))
            if self.answers:
                self.due.append((self.clock.monotonic() + self.delay_s, decode_request(record.value).id))

    def poll(self, timeout_s: float) -> list[Record]:
        self.clock.sleep(timeout_s)
        ready = [self.due.popleft()[1] for _ in range(len(self.due)) if self.due[0][0] <= self.clock.monotonic()]
        while self.extra and ready:
            ready.append(self.extra.popleft())
        return [result(id) for id in ready]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def follower(worker: Worker) -> RequestFollower:
    follower = RequestFollower(KafkaSettings())
    follower._writer = worker
    follower._results = worker
    return follower


def requests(count: int) -> list[Request]:
    return [Request(image=f"s3://photos/{n}.jpg", id=f"photo-{n}") for n in range(count)]


def test_every_request_is_written_once_and_gets_its_result(clock: ManualClock) -> None:
    worker = Worker(clock, delay_s=1.0)
    submitted = requests(5)
    batch = follower(worker).follow(submitted)
    assert [decode_request(record.value) for _, record in worker.written] == submitted
    assert [record.key for _, record in worker.written] == [b"photo-%d" % n for n in range(5)]
    assert (batch.count("ok"), batch.duplicates) == (5, 0)
    assert batch.results.keys() == batch.requests.keys()


def test_a_second_result_is_a_duplicate_and_results_of_others_are_ignored(clock: ManualClock) -> None:
    worker = Worker(clock, extra=["photo-0", "somebody-elses", "photo-1"])
    batch = follower(worker).follow(requests(3))
    assert (len(batch.results), batch.duplicates) == (3, 2)


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"id": "photo-0"}'])
def test_what_is_no_result_is_skipped_and_named(
    clock: ManualClock, value: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(clock)
    junk, poll = [Record(Partition("results", 0), 7, 0, None, value, [])], worker.poll
    monkeypatch.setattr(worker, "poll", lambda timeout_s: junk + poll(timeout_s))
    assert follower(worker).follow(requests(1)).count("ok") == 1
    assert "results-0 at offset 7, which is no result" in caplog.text


def test_results_are_one_line_each_whatever_they_are() -> None:
    values = [b'{"id":\n"a\xe2\x80\xa8b"}', b"\xff\nforged: ok"]
    records = [Record(Partition("results", 0), 0, 0, None, value, []) for value in values]
    assert module._texts(records) == ['{"id": "a\u2028b"}', "\ufffd forged: ok"]


def test_a_duplicate_after_the_last_result_is_counted(clock: ManualClock) -> None:
    worker = Worker(clock)
    worker.due.append((clock.monotonic() + 0.4, "photo-0"))
    assert follower(worker).follow(requests(1)).duplicates == 1


def test_no_progress_is_an_error_that_counts_the_missing_results(clock: ManualClock) -> None:
    with pytest.raises(NoProgress, match=r"3 of 3 requests have no result after 7 s"):
        follower(Worker(clock, answers=False)).follow(requests(3), collect_timeout_s=7)


def test_slow_but_steady_results_are_progress(clock: ManualClock) -> None:
    worker = Worker(clock, delay_s=5.0)
    assert follower(worker).follow(requests(4), interval_s=4.0, collect_timeout_s=6.0).count("ok") == 4


def test_an_open_loop_writes_on_time_and_measures_from_the_due_time(clock: ManualClock) -> None:
    worker = Worker(clock, delay_s=10.0)
    batch = follower(worker).follow(requests(4), interval_s=2.0)
    begun = batch.submitted_s["photo-0"]
    assert [batch.submitted_s[f"photo-{n}"] - begun for n in range(4)] == pytest.approx([0, 2, 4, 6])
    assert [when - begun for when, _ in worker.written] == pytest.approx([0, 2, 4, 6], abs=0.11)
    assert list(batch.latencies_s.values()) == pytest.approx([10.0] * 4, abs=0.21)


def test_no_more_are_in_flight_than_allowed(clock: ManualClock) -> None:
    worker = Worker(clock, delay_s=3.0)
    in_flight: list[int] = []
    batch = follower(worker).follow(
        requests(5),
        max_in_flight=2,
        on_progress=lambda batch: in_flight.append(len(batch.submitted_s) - len(batch.results)),
    )
    assert (batch.count("ok"), max(in_flight)) == (5, 2)
    assert len({when for when, _ in worker.written}) == 3  # two, two, one


def test_a_client_that_falls_behind_does_not_flatter_the_latency(clock: ManualClock) -> None:
    worker = Worker(clock)

    def stall(batch: Batch) -> None:
        if len(batch.submitted_s) == 1 and clock.now < 1_020:
            clock.sleep(20.0)

    batch = follower(worker).follow(requests(3), interval_s=1.0, on_progress=stall)
    assert batch.latencies_s["photo-1"] > 18.0


def test_on_progress_may_stop_it(clock: ManualClock) -> None:
    def stop(batch: Batch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follower(Worker(clock, answers=False)).follow(requests(1), on_progress=stop)


def test_latency_is_by_nearest_rank_and_zero_without_results() -> None:
    batch = Batch({}, latencies_s={str(n): n / 1000 for n in range(1, 101)})
    assert (batch.latency_ms(0.5), batch.latency_ms(0.95), batch.latency_ms(1.0)) == pytest.approx((50, 95, 100))
    assert Batch({}, latencies_s={"only": 0.2}).latency_ms(0.0) == pytest.approx(200)
    assert (Batch({}).latency_ms(0.5), Batch({}).images_per_second) == (0.0, 0.0)
