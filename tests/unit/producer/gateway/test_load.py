from __future__ import annotations

import math

from cutstream.clock import ManualClock
from producer.gateway.load import Load


def run(load: Load, clock: ManualClock, seconds: float, per_second: int, urgent: int) -> None:
    for _ in range(int(seconds)):
        load.note_results(per_second)
        load.note_lag(urgent, 0)
        clock.sleep(1)


def test_a_quiet_stream_makes_nobody_wait() -> None:
    load = Load(ManualClock())
    assert load.wait_s() == 0
    load.note_lag(10, 100_000)
    assert load.wait_s() == 0, "requests that are not urgent hold up none that is"
    assert load.lag == 100_010


def test_the_wait_is_the_lag_at_the_pace_of_the_results() -> None:
    clock = ManualClock()
    load = Load(clock)
    run(load, clock, 10, per_second=20, urgent=400)
    assert 15 < load.wait_s() < 25


def test_a_stream_that_stands_still_makes_everybody_wait() -> None:
    clock = ManualClock()
    load = Load(clock)
    load.note_lag(3, 0)
    clock.sleep(5)
    load.note_lag(3, 0)
    assert load.wait_s() == 0, "it may have begun just now"
    clock.sleep(6)
    load.note_lag(3, 0)
    assert load.wait_s() == math.inf
    load.note_results(1)
    assert load.wait_s() == 0


def test_an_old_pace_is_forgotten() -> None:
    clock = ManualClock()
    load = Load(clock)
    run(load, clock, 10, per_second=100, urgent=1000)
    assert load.wait_s() < 15
    for _ in range(12):
        load.note_lag(1000, 0)
        clock.sleep(1)
    assert load.wait_s() == math.inf


def test_a_burst_after_a_quiet_time_is_not_taken_for_slow_workers() -> None:
    clock = ManualClock()
    load = Load(clock)
    run(load, clock, 10, per_second=1, urgent=0)
    load.note_lag(300, 0)
    assert load.wait_s() == 0, "they have not shown yet what they can do"
    run(load, clock, 4, per_second=20, urgent=250)
    assert 12 < load.wait_s() < 18
