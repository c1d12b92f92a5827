"""What a turn of the benchmark of delivery measures, and what its cost is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from benchmarks import delivery
from benchmarks.delivery import Ratio, Turn, TurnWatch
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


def pairs(ratios: Sequence[float], cpu_ratios: Sequence[float]) -> list[delivery.Pair]:
    return [
        {"exactly_once": Turn(100 * rate, 10 / cpu, 0), "at_least_once": Turn(100, 10, 0)}
        for rate, cpu in zip(ratios, cpu_ratios, strict=True)
    ]


NEAR, FAR = [-0.01, 0.01, 0.01, -0.01], [-0.2, 0.2, 0.2, -0.2]


@pytest.mark.parametrize(
    ("ratios", "cpu_ratios", "sentence"),
    [
        ([0.95 + e for e in NEAR], [0.95 + e for e in NEAR], None),
        ([0.9 + e / 4 for e in FAR], [0.95 + e for e in NEAR], None),  # the CPU time decides
        ([0.95 + e for e in NEAR], [0.85 + e for e in NEAR], None),  # the rates decide
        ([0.9 + e for e in NEAR], [0.9 + e for e in NEAR], "too uncertain"),
        ([0.95 + e for e in FAR], [0.95 + e for e in NEAR], "too uncertain"),  # the rates may be anything
        ([0.85 + e for e in NEAR], [0.95 + e for e in NEAR], "more than the 10% promised"),
        ([0.9 + e / 4 for e in FAR], [0.85 + e for e in NEAR], "more than the 10% promised"),
    ],
)
def test_the_promise_is_kept_only_if_the_pairs_show_it(
    monkeypatch: pytest.MonkeyPatch, ratios: list[float], cpu_ratios: list[float], sentence: str | None
) -> None:
    recorded: dict[str, Any] = {}
    monkeypatch.setattr(delivery, "record", lambda name, **figures: recorded.update(figures) or figures)
    assert delivery._report("160x120", pairs(ratios, cpu_ratios)) == (sentence is None)
    assert recorded["problem"] is None if sentence is None else sentence in recorded["problem"]


def test_the_error_is_twice_that_of_the_mean() -> None:
    assert Ratio.of([0.8, 1.0]) == Ratio(pytest.approx(0.9), pytest.approx(0.2))


def test_too_few_pairs_are_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["delivery", "--pairs", "3"])
    with pytest.raises(SystemExit):
        delivery.main()
    assert "--pairs 3: fewer than 4" in capsys.readouterr().err


def test_every_request_has_an_id_of_its_own() -> None:
    first, second = delivery._requests(["a", "b"], 3), delivery._requests(["a", "b"], 3)
    assert len({request.id for request in (*first, *second)}) == 6
    assert isinstance(first[0], Request)
