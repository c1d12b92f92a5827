"""What KEDA makes of metrics: enough workers for the load, none for no load, and no more for an outage."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import pytest

from cutstream.metrics import DEFINITIONS
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
        coming = max(done, arrivals * step_s) / step_s  # what is answered, and the growth of what waits
        wanted = MSK.replicas({"requests": waiting, "rate": coming}, PARTITIONS)
        workers = max(wanted, workers - 1)  # it goes down more slowly than up
    assert workers == max(2, ceil(arrivals / each))
    assert worst_wait_s <= 11  # 10 s, and what a whole worker more would be


def test_queries_ask_for_metrics_that_exist() -> None:
    asked = {name for trigger in MSK.triggers for name in re.findall(r"cutstream_\w+", trigger.query)}
    assert asked
    assert asked <= {definition.name for definition in DEFINITIONS}


def test_triton_scales_with_its_workers() -> None:
    triton = autoscaler("confluent", "triton")
    assert triton.replicas({}, PARTITIONS) == 0
    assert triton.replicas({"requests": 1}, PARTITIONS) == 1
    assert triton.replicas({"rate": 61}, PARTITIONS) == 2


@dataclass(frozen=True)
class Recorded:
    """What each worker showed for ten minutes: the age of its oldest request, photos finished in 15 s, its backlog."""

    oldest_s: tuple[int, ...]
    done: tuple[int, ...]
    backlog: tuple[str, ...]
    age: float | None
    coming: float
    replicas: int

    def series(self) -> Iterator[tuple[str, str]]:
        """Yield each series with its values every 15 s, in promtool's notation."""
        for worker, (age, done, backlog) in enumerate(zip(self.oldest_s, self.done, self.backlog, strict=True)):
            labels = f'instance="{worker}",{LABELS}'
            yield f'cutstream_build_info{{{labels},version="0.1.0"}}', "1x40"
            yield f"cutstream_oldest_request_age_seconds{{{labels}}}", f"{age}x40"
            yield f'cutstream_requests_total{{{labels},status="ok"}}', f"0+{done}x40"
            yield f"cutstream_backlog_records{{{labels}}}", backlog
        # Another release's workers in the same Prometheus are not counted.
        other = LABELS.replace("shop", "other")
        yield f"cutstream_build_info{{{other}}}", "1x40"
        yield f"cutstream_oldest_request_age_seconds{{{other}}}", "5000x40"
        yield f"cutstream_backlog_records{{{other}}}", "0+5000x40"


RECORDED = {
    "too old": Recorded((90, 10, 20), (90, 90, 90), ("50x40",) * 3, age=270, coming=18, replicas=5),
    # Three workers finish 18 a second, and 12 a second more come in: before they wait for long, five are asked for.
    "a rising load": Recorded((5, 5, 5), (90, 90, 90), ("0+60x40",) * 3, age=15, coming=30, replicas=5),
    # A partition moves from one worker to the other, and takes its backlog along: nothing has come in.
    "a rebalance": Recorded((0, 0), (90, 90), ("600x37 0x3", "0x37 600x3"), age=0, coming=12, replicas=2),
    "a falling load": Recorded((5, 5), (90, 90), ("8000-60x40",) * 2, age=10, coming=12, replicas=2),
    # Nothing is finished, and requests grow old. More workers would not help.
    "Triton is away": Recorded((900,) * 3, (0,) * 3, ("50x40",) * 3, age=None, coming=0, replicas=2),
    "idle": Recorded((0,) * 3, (0,) * 3, ("0x40",) * 3, age=None, coming=0, replicas=2),
    "no worker": Recorded((), (), (), age=None, coming=0, replicas=2),
}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")
@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_queries_of_recorded_metrics(recorded: Recorded, tmp_path: Path) -> None:
    """Prometheus itself computes what KEDA asks for."""
    expected = {"age": recorded.age, "rate": recorded.coming}
    case = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in recorded.series()],
        "promql_expr_test": [
            {
                "expr": trigger.query,
                "eval_time": "10m",
                "exp_samples": [
                    {"labels": "{}", "value": value} for value in [expected[trigger.name]] if value is not None
                ],
            }
            for trigger in MSK.triggers
            if trigger.query
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "15s", "tests": [case]}))
    result = subprocess.run([str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    known = {name: value for name, value in expected.items() if value is not None}
    assert MSK.replicas(known, PARTITIONS) == recorded.replicas
