"""What KEDA makes of metrics: enough workers for the load, none for no load, and no more for an outage."""

from __future__ import annotations

import json
import shutil
import subprocess
from math import ceil
from pathlib import Path

import pytest

from deploy.helm.autoscaling import Autoscaler
from tests.support.helm import golden, manifests

PROMTOOL = shutil.which("promtool")
PARTITIONS = 12
LABELS = 'job="cutstream",namespace="shop",service="cutstream-worker"'


def autoscaler(example: str, component: str = "worker") -> Autoscaler:
    (found,) = (
        each
        for each in manifests(golden(example).read_text())
        if each["kind"] == "ScaledObject" and each["metadata"]["name"].endswith(component)
    )
    return Autoscaler.of(found)


CONFLUENT = autoscaler("confluent")  # 0 to 12 workers of 8 photos/s, 60 s to wait, 300 s of age
MSK = autoscaler("msk")  # 2 to 12 workers of 6 photos/s, 10 s to wait, 60 s of age


@pytest.mark.parametrize(
    ("values", "replicas"),
    [
        ({}, 0),
        ({"requests": 0, "urgent": 0, "retry": 0, "age": 0, "rate": 0}, 0),
        ({"requests": 1}, 1),
        ({"urgent": 1}, 1),
        ({"retry": 1}, 1),  # it waits for its time, and a worker has to be there then
        ({"requests": 480}, 1),
        ({"requests": 481}, 2),
        ({"requests": 4_800}, 10),
        ({"requests": 1_000_000}, 12),
        ({"rate": 33}, 5),  # five workers keep up with 33 a second
        ({"requests": 481, "rate": 33}, 5),
        ({"age": 4 * 450}, 6),  # four workers, and a request half as old again as it may be
    ],
)
def test_replicas(values: dict[str, float], replicas: int) -> None:
    assert CONFLUENT.replicas(values, PARTITIONS) == replicas


def test_never_more_than_partitions() -> None:
    assert CONFLUENT.replicas({"requests": 1_000_000}, 5) == 5


def test_never_fewer_than_the_fewest() -> None:
    assert MSK.replicas({}, PARTITIONS) == 2


def test_an_unknown_trigger_is_an_error() -> None:
    with pytest.raises(KeyError):
        CONFLUENT.replicas({"latency": 1}, PARTITIONS)


@pytest.mark.parametrize("arrivals", [0.5, 5.9, 6, 13, 40, 65])
def test_it_settles_on_the_workers_that_the_load_needs(arrivals: float) -> None:
    """A queue in steps of ten seconds: first a burst of five minutes' requests, then a steady rate."""
    each, step_s = 6.0, 10.0
    workers, waiting = 2, arrivals * 300
    worst_wait_s = 0.0
    for step in range(2_000):
        done = min(workers * each * step_s, waiting + arrivals * step_s)
        waiting += arrivals * step_s - done
        worst_wait_s = max(worst_wait_s, waiting / arrivals) if step > 1_500 else 0.0
        wanted = MSK.replicas({"requests": waiting, "rate": done / step_s}, PARTITIONS)
        workers = max(wanted, workers - 1)  # it goes down more slowly than up
    assert workers == max(2, ceil(arrivals / each))
    assert worst_wait_s <= 11  # 10 s, and what a whole worker more would be


def test_triton_scales_with_its_workers() -> None:
    triton = autoscaler("confluent", "triton")
    assert triton.replicas({}, PARTITIONS) == 0
    assert triton.replicas({"requests": 1}, PARTITIONS) == 1
    assert triton.replicas({"rate": 61}, PARTITIONS) == 2


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")
@pytest.mark.parametrize(
    ("series", "age", "rate", "replicas"),
    [
        # Three workers finish 6 a second each. The oldest request is 90 s old where it may be 60 s: half as many again.
        ({"age": (90, 10, 20), "done": (360, 360, 360)}, 270, 18, 5),
        # Triton is away: nothing is finished, and requests grow old. More workers would not help.
        ({"age": (900, 900, 900), "done": (0, 0, 0)}, None, 0, 2),
        # Idle.
        ({"age": (0, 0, 0), "done": (0, 0, 0)}, None, 0, 2),
        # No worker: no series at all.
        ({"age": (), "done": ()}, None, None, 2),
    ],
)
def test_queries_of_recorded_metrics(
    series: dict[str, tuple[int, ...]], age: float | None, rate: float | None, replicas: int, tmp_path: Path
) -> None:
    """Prometheus itself computes what KEDA asks for. `done` are the photos that a worker finishes in a minute."""
    queries = {trigger.name: trigger.query for trigger in MSK.triggers if trigger.query}
    given = []
    for worker, (seconds, photos) in enumerate(zip(series["age"], series["done"], strict=True)):
        labels = f'instance="{worker}",{LABELS}'
        given += [
            {"series": f'cutstream_build_info{{{labels},version="0.1.0"}}', "values": "1x10"},
            {"series": f"cutstream_oldest_request_age_seconds{{{labels}}}", "values": f"{seconds}x10"},
            {"series": f'cutstream_requests_total{{{labels},status="ok"}}', "values": f"0+{photos}x10"},
        ]
    # Another release's workers in the same Prometheus are not counted.
    other = LABELS.replace("shop", "other")
    given += [{"series": f"cutstream_build_info{{{other}}}", "values": "1x10"}]
    given += [{"series": f"cutstream_oldest_request_age_seconds{{{other}}}", "values": "5000x10"}]
    expected = {"age": age, "rate": rate}
    case = {
        "interval": "1m",
        "input_series": given,
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "10m",
                "exp_samples": [] if expected[name] is None else [{"labels": "{}", "value": expected[name]}],
            }
            for name, query in queries.items()
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [case]}))
    result = subprocess.run([str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    known = {name: value for name, value in expected.items() if value is not None}
    assert MSK.replicas(known, PARTITIONS) == replicas
