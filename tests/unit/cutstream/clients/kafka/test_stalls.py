from __future__ import annotations

import pytest

from cutstream.clients.kafka import Partition
from cutstream.clients.kafka.stalls import StallWatch
from cutstream.clock import ManualClock

P, Q = Partition("requests", 0), Partition("requests", 1)
STALL_S = 10.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watch(clock: ManualClock) -> StallWatch:
    return StallWatch(STALL_S, clock)


def look_for(watch: StallWatch, clock: ManualClock, seconds: float, behind) -> list[tuple[float, frozenset[Partition]]]:
    """Look whenever it is due, as polls do. Return what stalled, and after how many seconds."""
    began, stalled = clock.now, []
    while clock.now - began <= seconds:
        if watch.due and (found := watch.look(behind())):
            stalled.append((clock.now - began, found))
        clock.sleep(0.25)
    return stalled


def test_a_partition_that_does_not_move_stalls_after_the_bound_and_again_after_another(watch, clock) -> None:
    stalled = look_for(watch, clock, 2.5 * STALL_S, lambda: {P: 288})
    assert [partitions for _, partitions in stalled] == [{P}] * 2
    assert stalled[0][0] == pytest.approx(STALL_S, rel=0.1)


def test_a_partition_that_moves_does_not_stall_however_far_it_is_behind(watch, clock) -> None:
    assert look_for(watch, clock, 60.0, lambda: {P: int(clock.now / 5), Q: int(clock.now)}) == []


def test_a_partition_that_was_at_its_end_meanwhile_does_not_stall(watch, clock) -> None:
    assert look_for(watch, clock, 60.0, lambda: {P: 7} if clock.now % 10 > 3 else {}) == []


def test_a_process_that_was_frozen_finds_no_stall(watch, clock) -> None:
    watch.look({P: 7})
    clock.sleep(1_000)
    assert watch.look({P: 7}) == frozenset()


def test_after_a_restart_it_counts_anew_and_waits(watch, clock) -> None:
    assert look_for(watch, clock, STALL_S - 1, lambda: {P: 7}) == []
    watch.restart(5.0)
    assert not watch.due
    assert look_for(watch, clock, STALL_S + 4, lambda: {P: 7}) == []
