"""Submissions against a scripted writer and reader; real ones are in tests/e2e."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import pytest

from cutstream.clients.kafka import OutgoingRecord, Partition, Record
from cutstream.clock import ManualClock
from cutstream.contract.messages import Request, Result, SourceRecord, decode_request, encode
from cutstream.settings import KafkaSettings
from producer import following as module
from producer.following import Batch, NoProgress, Submission

SOURCE = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=0)


def result(id: str, status="ok", error=None) -> Record:
    value = encode(Result(id=id, status=status, source=SOURCE, error=error))
    return Record(Partition("results", 0), 0, 0, None, value, [])


class Worker:
    """Stands for Kafka and a worker: answers each request after `delay_s`, and at first the `extra` ids, too."""

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


def submission(worker: Worker) -> Submission:
    made = Submission(KafkaSettings())
    made._writer = worker
    made._results = worker
    return made


def requests(count: int) -> list[Request]:
    return [Request(image=f"s3://photos/{n}.jpg", id=f"photo-{n}") for n in range(count)]


def test_every_request_is_written_once_and_gets_its_result(clock: ManualClock) -> None:
    worker = Worker(clock, delay_s=1.0)
    asked = requests(5)
    batch = submission(worker).run(asked)
    assert [decode_request(record.value) for _, record in worker.written] == asked
    assert [record.key for _, record in worker.written] == [b"photo-%d" % n for n in range(5)]
    assert (batch.count("ok"), batch.duplicates) == (5, 0)
    assert batch.results.keys() == batch.requests.keys()


def test_a_second_result_is_a_duplicate_and_others_results_are_not_ours(clock: ManualClock) -> None:
    worker = Worker(clock, extra=["photo-0", "somebody-elses", "photo-1"])
    batch = submission(worker).run(requests(3))
    assert (len(batch.results), batch.duplicates) == (3, 2)


def test_a_second_result_that_comes_after_the_last_first_one_is_seen(clock: ManualClock) -> None:
    worker = Worker(clock)
    worker.due.append((clock.monotonic() + 0.4, "photo-0"))
    assert submission(worker).run(requests(1)).duplicates == 1


def test_silence_is_an_error_that_counts_what_is_missing(clock: ManualClock) -> None:
    with pytest.raises(NoProgress, match=r"3 of 3 requests have no result after 7 s"):
        submission(Worker(clock, answers=False)).run(requests(3), patience_s=7)


def test_slow_but_steady_is_not_silence(clock: ManualClock) -> None:
    worker = Worker(clock, delay_s=5.0)
    assert submission(worker).run(requests(4), interval_s=4.0, patience_s=6.0).count("ok") == 4


def test_an_open_loop_writes_on_time_and_measures_from_when_it_was_due(clock: ManualClock) -> None:
    worker = Worker(clock, delay_s=10.0)
    batch = submission(worker).run(requests(4), interval_s=2.0)
    begun = batch.submitted_s["photo-0"]
    assert [batch.submitted_s[f"photo-{n}"] - begun for n in range(4)] == pytest.approx([0, 2, 4, 6])
    assert [when - begun for when, _ in worker.written] == pytest.approx([0, 2, 4, 6], abs=0.11)
    assert list(batch.latencies_s.values()) == pytest.approx([10.0] * 4, abs=0.21)


def test_no_more_are_in_flight_than_allowed(clock: ManualClock) -> None:
    worker = Worker(clock, delay_s=3.0)
    flying: list[int] = []
    batch = submission(worker).run(
        requests(5), in_flight=2, watch=lambda batch: flying.append(len(batch.submitted_s) - len(batch.results))
    )
    assert (batch.count("ok"), max(flying)) == (5, 2)
    assert len({when for when, _ in worker.written}) == 3  # two, two, one


def test_a_client_that_falls_behind_does_not_flatter_the_latency(clock: ManualClock) -> None:
    worker = Worker(clock)

    def stall(batch: Batch) -> None:
        if len(batch.submitted_s) == 1 and clock.now < 1_020:
            clock.sleep(20.0)

    batch = submission(worker).run(requests(3), interval_s=1.0, watch=stall)
    assert batch.latencies_s["photo-1"] > 18.0


def test_watch_may_end_it(clock: ManualClock) -> None:
    def stop(batch: Batch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submission(Worker(clock, answers=False)).run(requests(1), watch=stop)


def test_latency_is_the_nearest_rank_and_nothing_is_zero() -> None:
    batch = Batch({}, latencies_s={str(n): n / 1000 for n in range(1, 101)})
    assert (batch.latency_ms(0.5), batch.latency_ms(0.95), batch.latency_ms(1.0)) == pytest.approx((50, 95, 100))
    assert Batch({}, latencies_s={"only": 0.2}).latency_ms(0.0) == pytest.approx(200)
    assert (Batch({}).latency_ms(0.5), Batch({}).images_per_second) == (0.0, 0.0)
