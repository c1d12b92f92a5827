"""How a real step load is compared with its simulation."""

from __future__ import annotations

import pytest

pytest.importorskip("simpy", reason="the extra `planning` is not installed")

from benchmarks.capacity import Run, compare, errors
from benchmarks.replay import replay_folders, work_of
from benchmarks.scaler import seen_in
from deploy.capacity.simulation.stream import Outcome


def outcome(latency_s: float) -> Outcome:
    arrived = [number / 10 for number in range(600)]
    done = [at_s + latency_s for at_s in arrived]
    return Outcome(arrived, done, [(at_s, latency_s) for at_s in arrived])


def test_a_run_is_measured_as_a_simulation_is() -> None:
    ours = outcome(0.5)
    run = Run({f"photo-{n}": at_s for n, at_s in enumerate(ours.arrived_s)})
    run.done = {f"photo-{n}": at_s for n, at_s in enumerate(ours.committed_s)}
    figures = compare(run.outcome(), [ours, ours], calm_s=20, step_s=40)
    assert figures["rate"] == [10.0, 10.0]
    assert figures["p99_ms"] == [500.0, 500.0]
    assert set(errors(figures).values()) == {0.0}


def test_what_is_off_is_told_as_a_share_of_what_was_measured() -> None:
    figures = compare(outcome(0.4), [outcome(0.5)], calm_s=20, step_s=40)
    off = errors(figures)
    assert off["p50_ms"] == pytest.approx(0.25)
    assert off["rate"] == 0
    assert off["lag_apart"] > 0.1


def test_recorded_work_is_shared_out_without_a_rest() -> None:
    line = {
        "stage_core_ms": dict(fetch=1, decode=8, segment=16, refine=8, compose=2, encode=9, store=3),
        "whole_core_ms_by_process": dict(worker=32, triton=13, decoders=8, kafka=5, benchmark=2),
    }
    work = work_of(line)
    own = (work.fetch_s, work.prepare_s, work.refine_s, work.compose_s, work.encode_s, work.store_s)
    assert sum(own) + work.loop_s == pytest.approx(0.032)
    assert (work.infer_s, work.decode_s) == (0.013, 0.008)


def test_a_rate_of_folders_is_simulated_with_what_was_measured_last() -> None:
    line = {"time": "now", "commit": "c0ffee", "machine": {"cores": 2}, "stream_images_per_second": [30.0, 34.0, 33.0]}
    real, ours = replay_folders(line)["figures"]["rate"]
    assert real == 33.0
    assert 15 < ours < 60


def test_a_scaler_sees_what_was_answered_and_what_grows() -> None:
    line = {"workers": 1, "phases": [[100.0, 10.0]], "samples": [[30.0, 50, 0, 1.0], [40.0, 250, 0, 9.0]]}
    first, second = seen_in(line)
    assert (second.lag, second.oldest_s) == (250, 9.0)
    assert second.growth_per_s == pytest.approx(20.0)
    assert 0 <= second.answered_per_s < first.answered_per_s <= 12
