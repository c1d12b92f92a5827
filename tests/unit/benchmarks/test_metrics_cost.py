"""The benchmark of the metrics' cost: the switch, the turns and the verdict."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from benchmarks import metrics_cost
from benchmarks.metrics_cost import Done, Turns, cost_of
from benchmarks.switched_worker import TIMES, Switch
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


def test_metrics_count_many_times_while_they_are_on_and_never_while_they_are_off() -> None:
    metrics, switch = Metrics(CollectorRegistry()), Switch()
    try:
        assert told(metrics) == TIMES
        switch()
        assert told(metrics) == TIMES
        switch()
        assert told(metrics) == 2 * TIMES
    finally:
        switch.restore()
    assert told(metrics) == 2 * TIMES + 1


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


def test_the_cost_is_that_of_doing_everything_once() -> None:
    seconds, once = 0.05, 0.0002
    cost = cost_of([seconds / (seconds + TIMES * once)] * 2)
    assert cost.mean == pytest.approx(once / seconds)
    assert cost.error == pytest.approx(0, abs=1e-12)
