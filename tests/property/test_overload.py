"""Under a load that never ends the worker holds a bounded number of requests, and one that waits holds few others.

The loop is the real one; time, the photos and the broker are simulated, so that minutes take moments.
"""

from __future__ import annotations

import threading
from collections import Counter
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.delivery.outcomes import Answered, TrackedRecord
from consumer.loop import Loop
from cutstream.clients.kafka import Partition, Polled, Record
from cutstream.clock import ManualClock
from cutstream.metrics import Metrics
from cutstream.settings import WorkerSettings

WINDOW, MAX_UNCOMMITTED = 8, 60
PARTITIONS = [Partition("requests", number) for number in range(3)]
FOR_EVER_S = 1e9


class EndlessSource:
    """Always has another request in each partition."""

    membership = object()
    partitions = frozenset(PARTITIONS)

    def __init__(self) -> None:
        self.positions = Counter[Partition]()
        self._turn = count()

    def poll(self, timeout_s, max_records, held=frozenset()) -> Polled:
        records = []
        open_partitions = [partition for partition in PARTITIONS if partition not in held]
        for _ in range(max_records if open_partitions else 0):
            partition = open_partitions[next(self._turn) % len(open_partitions)]
            records.append(Record(partition, self.positions[partition], 0, None, b"", []))
            self.positions[partition] += 1
        return Polled(records)

    def position(self, partition) -> int:
        return self.positions[partition]

    def end_offset(self, partition) -> int:
        return self.positions[partition] + 1000


class Committed:
    """Keeps the offsets that are committed."""

    def __init__(self) -> None:
        self.offsets = Counter[Partition]()

    def commit(self, records, offsets, membership) -> None:
        self.offsets.update({p: offset - self.offsets[p] for p, offset in offsets.items()})


class SimulatedWindow:
    """Each photo takes the time that `duration_s` says. `check` is called whenever time passes."""

    def __init__(self, clock, duration_s, check) -> None:
        self._clock, self._duration_s, self._check = clock, duration_s, check
        self._ends: list[tuple[float, TrackedRecord]] = []

    @property
    def in_flight(self) -> int:
        return len(self._ends)

    @property
    def free(self) -> int:
        return WINDOW - self.in_flight

    def submit(self, task: TrackedRecord) -> None:
        assert self.free > 0
        self._ends.append((self._clock.monotonic() + self._duration_s(task.record), task))

    def collect(self, timeout_s: float) -> list[Answered]:
        now = self._clock.monotonic()
        self._clock.sleep(max(0.001, min([timeout_s, *(end - now for end, _ in self._ends)])))
        self._check()
        now = self._clock.monotonic()
        finished = [task for end, task in self._ends if end <= now]
        self._ends = [(end, task) for end, task in self._ends if end > now]
        return [Answered(task.tracked, now, 0) for task in finished]


def overload(duration_s, seconds: float) -> tuple[Counter[Partition], int]:
    """Run a worker for simulated seconds. Return the committed offsets and the most results that waited at once."""
    clock, stop, most = ManualClock(), threading.Event(), [0]
    ends_s = clock.monotonic() + seconds

    def check() -> None:
        most[0] = max(most[0], loop._offsets.finished_count)
        if clock.monotonic() >= ends_s:
            stop.set()

    committed = Committed()
    options = WorkerSettings(max_uncommitted=MAX_UNCOMMITTED, commit_max_results=MAX_UNCOMMITTED, drain_timeout_s=0.1)
    window = SimulatedWindow(clock, duration_s, check)
    loop = Loop(EndlessSource(), committed, window, options, Metrics(), clock, retry_topic="retry")
    loop.run(stop)
    return committed.offsets, most[0]


@settings(max_examples=15)
@given(st.lists(st.floats(0.01, 20), min_size=1, max_size=50))
def test_what_the_worker_holds_is_bounded_however_long_photos_take(durations) -> None:
    _, most = overload(lambda record: durations[(7 * record.partition.number + record.offset) % len(durations)], 60)
    assert most <= MAX_UNCOMMITTED + WINDOW


@pytest.mark.parametrize("waiting", [1, 2])
def test_a_request_that_waits_for_ever_holds_its_partition_and_no_other(waiting: int) -> None:
    stuck = PARTITIONS[:waiting]

    def duration_s(record: Record) -> float:
        return FOR_EVER_S if record.offset == 0 and record.partition in stuck else 0.2

    committed, most = overload(duration_s, 60)
    assert most <= MAX_UNCOMMITTED + WINDOW
    assert not any(committed[partition] for partition in stuck)
    at_full_rate = (WINDOW - waiting) / 0.2 * 60
    assert sum(committed.values()) > 0.5 * at_full_rate, "the other partitions stood still"
