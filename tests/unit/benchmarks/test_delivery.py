"""What a turn of the benchmark of delivery measures, and what its cost is."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks import delivery
from benchmarks.delivery import Turn, TurnWatch
from cutstream.contract.messages import ErrorDetail, Request, Result, SourceRecord
from producer.following import Batch


def batch(done: int) -> Batch:
    source = SourceRecord(topic="requests", partition=0, offset=0, timestamp_ms=0)
    return Batch({}, {f"photo-{n}": Result(id=f"photo-{n}", status="ok", source=source) for n in range(done)})


def test_a_turn_counts_between_its_edges() -> None:
    times = iter([0.0, 2.0, 3.0, 6.0, 9.0])
    watch = TurnWatch(40, 100, lambda: next(times))
    for done in (10, 42, 70, 102, 150):
        watch(batch(done))
    assert watch.turn.per_second == 60 / 4
    assert watch.turn.cpu_ms >= 0


def test_a_photo_that_failed_or_a_second_result_ends_the_measurement() -> None:
    bad, twice = batch(2), batch(2)
    error = ErrorDetail(code="empty_mask", message="no subject", stage="compose", retryable=False)
    bad.results["photo-1"] = msgspec.structs.replace(bad.results["photo-1"], status="failed", error=error)
    twice.duplicates = 1
    with pytest.raises(SystemExit, match=r"1 photos were not cut out.*no subject"):
        delivery._check(bad, "at_least_once")
    with pytest.raises(SystemExit, match="1 results arrived twice"):
        delivery._check(twice, "exactly_once")
    delivery._check(twice, "at_least_once")


def test_the_cost_is_that_of_the_median_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "record", lambda name, **figures: figures)
    ratios = (0.5, 0.85, 1.2)
    pairs = [{"exactly_once": Turn(100 * r, 10, 0), "at_least_once": Turn(100, 10, 0)} for r in ratios]
    assert delivery._report("160x120", pairs) == pytest.approx(0.15)


def test_every_request_has_an_id_of_its_own() -> None:
    first, second = delivery._requests(["a", "b"], 3), delivery._requests(["a", "b"], 3)
    assert len({request.id for request in (*first, *second)}) == 6
    assert isinstance(first[0], Request)
