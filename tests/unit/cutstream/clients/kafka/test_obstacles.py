from __future__ import annotations

import pytest

from cutstream.clients.kafka import Partition
from cutstream.clients.kafka.fetching import Unreadable
from cutstream.clients.kafka.obstacles import Obstacles
from cutstream.clock import ManualClock

A, B = (Partition("requests", number) for number in range(2))

pytestmark = pytest.mark.logs_errors


def corrupt(partition: Partition, offset: int) -> Unreadable:
    return Unreadable(partition, offset, offset + 3, "failed crc check")


def test_the_same_record_is_tried_ever_more_rarely_and_another_one_soon() -> None:
    obstacles = Obstacles(clock := ManualClock())

    def pause_s() -> float:
        slept_s = 0.0
        while A in obstacles.waiting:
            clock.sleep(0.5)
            slept_s += 0.5
        return slept_s

    pauses_s = []
    for _ in range(8):
        obstacles.add(corrupt(A, 5))
        pauses_s.append(pause_s())
    assert pauses_s == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(obstacles) == 1, "it is still in the way while it is tried again"
    obstacles.add(corrupt(A, 9))
    assert pause_s() == 1


def test_what_is_behind_the_position_is_no_obstacle_any_more() -> None:
    """Also when nothing came after it, as when an operator has deleted it."""
    obstacles = Obstacles(ManualClock())
    obstacles.add(corrupt(A, 5))
    obstacles.add(corrupt(B, 7))
    obstacles.forget_passed({A: 5}.get, {}.get)
    assert len(obstacles) == 2
    obstacles.forget_passed({A: 6}.get, {}.get)
    assert (obstacles.waiting, len(obstacles)) == ({B}, 1)


def test_what_a_log_that_was_cut_off_does_not_hold_is_no_obstacle_any_more() -> None:
    """Its partition stands exactly there, and nothing else may ever come."""
    obstacles = Obstacles(ManualClock())
    obstacles.add(corrupt(A, 5))
    obstacles.forget_passed({A: 5}.get, {A: 6}.get)
    assert len(obstacles) == 1
    obstacles.forget_passed({A: 5}.get, {A: 5}.get)
    assert len(obstacles) == 0


def test_a_partition_that_begins_anew_is_no_obstacle_any_more() -> None:
    obstacles = Obstacles(ManualClock())
    obstacles.add(corrupt(A, 5))
    obstacles.add(corrupt(B, 7))
    obstacles.forget([A, Partition("others", 0)])
    assert (obstacles.waiting, len(obstacles)) == ({B}, 1)


def test_the_log_names_the_partition_the_records_and_where_to_go_on(caplog) -> None:
    Obstacles(ManualClock()).add(corrupt(A, 5))
    (message,) = caplog.messages
    assert message.startswith("requests-0 cannot be read at offsets 5 to 7 (failed crc check)")
    assert "delete the partition's records before offset 8" in message
