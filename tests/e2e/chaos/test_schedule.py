"""A schedule is reproducible, contains every kind of fault, and never hits one part twice at once."""

from __future__ import annotations

from collections import Counter

import pytest

from cutstream.clients.kafka import Partition
from tests.e2e.chaos.faults import FAULTS
from tests.e2e.chaos.observer import Lag, Sample
from tests.e2e.chaos.progress import Interval, first_after, longest_idle, rate, recovered_after
from tests.e2e.chaos.schedule import KINDS, draw_schedule
from tests.e2e.chaos.workload import Places, chaos_requests

ONE = Partition("requests", 0)


def test_every_kind_has_a_fault() -> None:
    assert set(FAULTS) == set(KINDS)


@pytest.mark.parametrize("seed", range(1, 6))
def test_sixty_faults_are_of_all_kinds(seed: int) -> None:
    rounds = draw_schedule(60, seed)
    assert rounds == draw_schedule(60, seed)
    assert rounds != draw_schedule(60, seed + 1)
    counted = Counter(fault.kind for round_ in rounds for fault in round_.faults)
    assert counted.total() == 60
    assert counted.keys() == set(KINDS)
    parts = [{fault.part for fault in round_.faults} for round_ in rounds]
    assert all(len(part) == len(round_.faults) for part, round_ in zip(parts, rounds, strict=True))
    assert max(map(len, parts)) == 2
    assert 400 < sum(round_.planned_s for round_ in rounds) < 700


def test_requests_are_reproducible_and_mixed() -> None:
    places = Places(["file:///photos", "s3://photos"], [None, "s3://out"])
    requests = chaos_requests(2000, 3, ["a.jpg", "b.jpg"], places, first=10)
    assert requests == chaos_requests(2000, 3, ["a.jpg", "b.jpg"], places, first=10)
    assert requests[0].number == 10
    poison = sum(request.recipe is None for request in requests)
    assert 5 < poison < 60
    assert len({request.recipe for request in requests}) == 2 * 3 + 1


def samples(*committed: int, end: int = 10) -> list[Sample]:
    return [Sample(float(second), {ONE: Lag(offset, end)}) for second, offset in enumerate(committed)]


def test_idle_time_is_that_of_a_partition_with_work_and_without_faults() -> None:
    standing = samples(1, 5, 5, 5, 5, 6)
    (idle,) = longest_idle(standing, [], "retry")
    assert (idle.idle_s, idle.committed) == (3.0, 5)
    (idle,) = longest_idle(standing, [Interval(1.5, 2.5)], "retry")
    assert idle.idle_s == 1.0
    assert [idle.idle_s for idle in longest_idle(samples(5, 5, 5, end=5), [], "retry")] == [0.0]
    assert longest_idle(standing, [], "requests") == []


def test_rates_and_recovery() -> None:
    arrivals = [0.1 * n for n in range(50)] + [20.0 + 0.1 * n for n in range(50)]
    assert rate(arrivals, 0.0, 5.0) == pytest.approx(9.8)
    assert first_after(arrivals, 5.0) == 15.0
    assert first_after(arrivals, 25.0) is None
    recovered = recovered_after(arrivals, 15.0, full_rate=10.0)
    assert recovered is not None
    assert 7.0 < recovered < 8.0
    assert recovered_after(arrivals, 15.0, full_rate=100.0) is None
