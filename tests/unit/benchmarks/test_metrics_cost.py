"""The benchmark of the metrics' cost: the switch, the turns and the verdict."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from benchmarks import metrics_cost
from benchmarks.delivery import Ratio
from benchmarks.metrics_cost import Done, Turns, is_kept
from benchmarks.switched_worker import Switch
from cutstream.metrics import REQUESTS, Metrics
from producer.following import Batch


def told(metrics: Metrics) -> float:
    labels = dict.fromkeys(REQUESTS.labels, "x")
    metrics.requests.labels(**labels).inc()
    metrics.in_flight.set(metrics.in_flight._value.get() + 1)
    metrics.commit_seconds.observe(0.1)
    with metrics.waiting.labels("x").track_inprogress():
        pass
    return metrics.registry.get_sample_value(REQUESTS.name, labels) or 0.0


def test_metrics_that_are_off_ignore_what_they_are_told() -> None:
    metrics, switch = Metrics(CollectorRegistry()), Switch()
    assert told(metrics) == 1
    switch()
    try:
        assert told(metrics) == 1
    finally:
        switch()
    assert told(metrics) == 2


def test_the_turns_alternate_and_measure_between_their_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    now, switched, scraped = [0.0], [], []
    monkeypatch.setattr(metrics_cost.time, "monotonic", lambda: now[0])
    turns = Turns(2, lambda: switched.append(now[0]), lambda: scraped.append(now[0]), lambda: now[0] / 2)
    batch: Any = Batch({})

    def run() -> None:
        for step in range(1000):
            now[0] = step / 10
            batch.results = dict.fromkeys(map(str, range(step)))  # ten a second
            turns(batch)

    with pytest.raises(Done):
        run()
    assert [len(turns.measured[on]) for on in (True, False)] == [2, 2]
    for turn in turns.measured[True] + turns.measured[False]:
        assert turn.per_second == pytest.approx(10)
        assert turn.cpu_ms == pytest.approx(50)
    assert len(switched) == 3  # off, on (which the second pair begins with), off
    assert scraped


@pytest.mark.parametrize(
    ("by_rate", "by_cpu", "kept"),
    [
        (Ratio(1.0, 0.05), Ratio(0.995, 0.003), True),
        (Ratio(0.999, 0.005), Ratio(0.98, 0.03), True),
        (Ratio(1.0, 0.05), Ratio(0.995, 0.01), False),
        (Ratio(0.97, 0.01), Ratio(0.995, 0.003), False),
    ],
)
def test_it_is_kept_only_if_one_ratio_shows_it_and_the_other_does_not_deny_it(
    by_rate: Ratio, by_cpu: Ratio, kept: bool
) -> None:
    assert is_kept(by_rate, by_cpu) == kept
