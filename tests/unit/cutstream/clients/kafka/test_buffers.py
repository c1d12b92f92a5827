from __future__ import annotations

import pytest

from cutstream.clients.kafka import Partition, Record
from cutstream.clients.kafka.buffers import RecordBuffers
from cutstream.clock import ManualClock
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers

A, B, C, URGENT, RETRY = (Partition(topic, 0) for topic in ("a", "b", "c", "urgent", "retry"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def buffers(clock: ManualClock) -> RecordBuffers:
    return RecordBuffers((("urgent",), ("a", "b", "c", "retry")), "retry", clock)


def records(partition: Partition, count: int, first: int = 0) -> list[Record]:
    return [Record(partition, offset, 0, None, b"", []) for offset in range(first, first + count)]


def retry(clock: ManualClock, offset: int, *, due_in_s: float, written_ago_s: float = 0.0) -> Record:
    now_ms = int(clock.wall() * 1000)
    origin = SourceRecord(topic="a", partition=0, offset=0, timestamp_ms=0)
    headers = redelivery_headers([], Redelivery(origin, not_before_ms=now_ms + int(due_in_s * 1000)))
    return Record(RETRY, offset, now_ms - int(written_ago_s * 1000), None, b"", headers)


def order(taken: list[Record]) -> list[tuple[str, int]]:
    return [(record.partition.topic, record.offset) for record in taken]


def test_partitions_of_a_rank_take_turns_across_calls(buffers) -> None:
    for partition in (A, B, C):
        buffers.add(records(partition, 3))
    assert order(buffers.take(4)) == [("a", 0), ("b", 0), ("c", 0), ("a", 1)]
    assert order(buffers.take(4)) == [("b", 1), ("c", 1), ("a", 2), ("b", 2)]
    assert order(buffers.take(4)) == [("c", 2)]
    assert buffers.take(4) == []


def test_an_earlier_rank_comes_first_whenever_it_has_records(buffers) -> None:
    buffers.add(records(A, 2))
    assert order(buffers.take(1)) == [("a", 0)]
    buffers.add(records(URGENT, 2))
    assert order(buffers.take(3)) == [("urgent", 0), ("urgent", 1), ("a", 1)]


def test_a_record_that_is_not_due_holds_its_partition_alone(buffers, clock) -> None:
    buffers.add([retry(clock, 0, due_in_s=30), retry(clock, 1, due_in_s=0)])
    assert buffers.wait_s() == pytest.approx(30, abs=0.01)
    buffers.add(records(A, 1))
    assert buffers.wait_s() == 0
    assert order(buffers.take(9)) == [("a", 0)]
    clock.sleep(31)
    assert order(buffers.take(9)) == [("retry", 0), ("retry", 1)]
    assert buffers.wait_s() is None


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_wall_clock_that_jumps_holds_a_record_no_longer_than_its_writer_meant(buffers, clock, jump_s) -> None:
    record = retry(clock, 0, due_in_s=30)
    clock.epoch += jump_s
    buffers.add([record])
    clock.sleep(31)
    assert order(buffers.take(1)) == [("retry", 0)]


def test_a_dropped_partition_is_forgotten_and_may_start_again(buffers) -> None:
    buffers.add(records(A, 3))
    buffers.add(records(B, 1))
    buffers.drop([A, C])
    assert buffers.partitions() == {B}
    buffers.add(records(A, 2, first=1))
    assert buffers.partitions(at_least=2) == {A}
    assert sorted(order(buffers.take(9))) == [("a", 1), ("a", 2), ("b", 0)]


def test_no_record_is_held_for_longer_than_the_longest_delay(clock) -> None:
    """Its writer's clock went back between the decision to wait and the writing of the record."""
    buffers = RecordBuffers((("retry",),), "retry", clock, max_delay_s=60)
    buffers.add([retry(clock, 0, due_in_s=3600)])
    clock.sleep(61)
    assert order(buffers.take(1)) == [("retry", 0)]


def test_a_record_that_comes_again_is_not_held_anew(clock) -> None:
    """Its partition goes from worker to worker while it waits, and its writer's clock was ahead."""
    buffers = RecordBuffers((("retry",),), "retry", clock, max_delay_s=60)
    buffers.add([retry(clock, 0, due_in_s=3600, written_ago_s=50)])
    assert buffers.wait_s() == pytest.approx(10, abs=0.01)
    buffers.drop([RETRY])
    buffers.add([retry(clock, 0, due_in_s=3600, written_ago_s=61)])
    assert order(buffers.take(1)) == [("retry", 0)]


def test_headers_without_content_count_too(buffers) -> None:
    buffers.add([Record(A, 0, 0, None, b"", [("", b"")] * 20)])
    assert buffers.partitions(at_least=9, or_bytes=2_000) == {A}
    buffers.take(1)
    buffers.add(records(A, 1, first=1))
    assert buffers.partitions(at_least=9, or_bytes=1) == frozenset()
