"""The chart's autoscaler beside the simulation, on metrics that were recorded during a step load."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

pytest.importorskip("simpy", reason="the extra `planning` is not installed")
pytest.importorskip("deploy.helm.autoscaling", reason="there is no chart")

from benchmarks.machine import RESULTS
from benchmarks.scaler import autoscaler, compared_with, followed_through, seen_in

LINE = json.loads((RESULTS / "capacity.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize("at_s", [5, 18, 40])
def test_with_the_growth_of_the_lag_it_is_one_worker_off_at_most(at_s: int) -> None:
    """Before, during and after the step."""
    seen = min(seen_in(LINE), key=lambda each: abs(each.at_s - at_s))
    compared = compared_with(seen)
    assert abs(compared["keda_with_growth"] - compared["wanted"]) <= 1
    assert compared["keda"] <= compared["keda_with_growth"]


def test_the_thresholds_are_the_charts_for_a_worker_of_that_rate() -> None:
    scaler, wait_s = autoscaler(10.0)
    assert {each.name: each.threshold for each in scaler.triggers}["requests"] == 10 * wait_s
    assert scaler.replicas({"requests": 25 * wait_s, "rate": 10.0, "age": 0.0}, 64) == 3
    assert scaler.replicas({"requests": 0.0, "rate": 35.0, "age": 0.0}, 64) == 4


@pytest.mark.parametrize("with_growth", [False, True])
def test_a_step_has_its_workers_within_a_minute_and_no_more_than_one_too_many(with_growth: bool) -> None:
    followed = followed_through((5.0, 35.0), 9.0, with_growth)
    assert followed["enough_after_s"] <= 60
    assert followed["wanted"] <= followed["most_workers"] <= followed["wanted"] + 1


def test_without_requests_the_simulation_wants_one_worker() -> None:
    seen = replace(seen_in(LINE)[0], lag=0, coming_per_s=0.0)
    assert compared_with(seen)["wanted"] == 1
