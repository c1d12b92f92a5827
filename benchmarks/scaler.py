"""Compare KEDA's replicas with those that the simulation wants: `python -m benchmarks.scaler`.

The metrics are those that workers showed during the step loads of benchmarks/results/capacity.jsonl, second by second.
The expression is the chart's, as it is rendered for the example of a shop, with the rate of one worker that the
simulation reaches for photos of 12 megapixels. benchmarks/results/scaler.jsonl is written anew.

Metrics that were recorded with a fixed number of workers do not show how a scaler gets on with the workers that it
adds. So it is also followed through a step, second by second, with workers that do just their rate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.machine import RESULTS, read_results
from deploy.capacity.measured import load
from deploy.capacity.simulation.run import poisson, saturated_rate, work_of
from deploy.capacity.simulation.scaling import workers_wanted
from deploy.capacity.simulation.stream import Deployment
from deploy.helm.autoscaling import Autoscaler

RENDERED = Path(__file__).parents[1] / "tests" / "unit" / "deploy" / "helm" / "golden" / "cpu-shop.yaml"
FILE = RESULTS / "scaler.jsonl"
MEGAPIXELS = 12.0
EVERY_S = 6
WINDOW_S = 60.0  # of the chart's rate()
COMING_S = 10.0
GROWTH_S = 15.0  # over which the lag's growth is taken in recorded runs, which are short
CHART_GROWTH_S = 45.0  # and by the chart
PARTITIONS = 64
STEP_RATES = (5.0, 35.0)  # requests a second, before the step and after
STEP_S, END_S = 120, 480
ASKED_EVERY_S, STARTING_S = 15, 15  # of Kubernetes' autoscaler, and of a worker until it has its partitions


@dataclass(frozen=True)
class Seen:
    """What could be seen of the workers at a time.

    `coming_per_s` is known to the simulation only. A scaler that adds the lag's growth to what is answered knows it,
    too.
    """

    at_s: float
    workers: int
    lag: int
    answered_per_s: float
    growth_per_s: float
    coming_per_s: float
    oldest_s: float


def main() -> None:
    lines = {line["workers"]: line for line in read_results("capacity")}
    compared = [compared_with(seen) for line in lines.values() for seen in seen_in(line)[EVERY_S - 1 :: EVERY_S]]
    followed = [followed_through(STEP_RATES, compared[0]["unit_rate"], growth) for growth in (False, True)]
    FILE.write_text("".join(json.dumps(each) + "\n" for each in (*compared, *followed)))
    for group in (compared, followed):
        table = Table(*group[0])
        for each in group:
            table.add_row(*map(str, each.values()))
        Console(width=200).print(table)


def compared_with(seen: Seen) -> dict[str, Any]:
    """Return what was seen, and the replicas by the expression and by the simulation."""
    measured = load()
    unit, work = Deployment(triton_cores=2, broker_cores=24), work_of(measured, MEGAPIXELS)
    rate = round(saturated_rate(unit, work), 1)
    scaler, wait_s = autoscaler(rate)
    values = {"requests": seen.lag, "rate": seen.answered_per_s, "age": seen.workers * seen.oldest_s}
    growing = {**values, "rate": seen.answered_per_s + seen.growth_per_s}
    return {
        **vars(seen),
        "unit_rate": rate,
        "wait_s": wait_s,
        "keda": scaler.replicas(values, PARTITIONS),
        "keda_with_growth": scaler.replicas(growing, PARTITIONS),
        "wanted": workers_wanted(
            unit, work, waiting=seen.lag, per_second=seen.coming_per_s, wait_s=wait_s, unit_rate=rate
        ),
    }


def autoscaler(rate: float) -> tuple[Autoscaler, float]:
    """Return the chart's autoscaler of workers for this rate of one, and how long a request may wait."""
    documents = yaml.safe_load_all(RENDERED.read_text(encoding="utf-8"))
    rendered = next(
        each
        for each in documents
        if each and each["kind"] == "ScaledObject" and each["metadata"]["name"].endswith("worker")
    )
    scaler = Autoscaler.of(rendered)
    thresholds = {trigger.name: trigger.threshold for trigger in scaler.triggers}
    wait_s = thresholds["requests"] / thresholds["rate"]  # as the template multiplies them
    new = {"rate": rate, "requests": float(ceil(rate * wait_s))}
    triggers = tuple(replace(each, threshold=new.get(each.name, each.threshold)) for each in scaler.triggers)
    return replace(scaler, most=1000, triggers=triggers), wait_s


def seen_in(line: Mapping[str, Any]) -> list[Seen]:
    """Return what was seen in a recorded step load. Its arrivals are those that the benchmark drew."""
    arrivals = poisson([tuple(phase) for phase in line["phases"]], seed=line["workers"])
    return list(_seen(line["samples"], arrivals, line["workers"]))


def _seen(samples: Sequence[Sequence[float]], arrivals: Sequence[float], workers: int) -> Iterator[Seen]:
    answered: list[tuple[float, int]] = [(0.0, 0)]
    lags: list[tuple[float, float]] = [(0.0, 0.0)]
    for at_s, lag, _, oldest_s in samples:
        lags.append((at_s, lag))
        since_s, earlier = next(each for each in lags if each[0] >= at_s - GROWTH_S)
        came = sum(arrival <= at_s for arrival in arrivals)
        answered.append((at_s, max(0, came - int(lag))))
        before_s, before = next(each for each in answered if each[0] >= at_s - WINDOW_S)
        yield Seen(
            at_s=at_s,
            workers=workers,
            lag=int(lag),
            answered_per_s=round((answered[-1][1] - before) / max(1.0, at_s - before_s), 2),
            growth_per_s=round(max(0.0, lag - earlier) / max(1.0, at_s - since_s), 2),
            coming_per_s=sum(at_s - COMING_S < arrival <= at_s for arrival in arrivals) / COMING_S,
            oldest_s=oldest_s,
        )


def followed_through(rates: tuple[float, float], unit_rate: float, with_growth: bool) -> dict[str, Any]:
    """Let the autoscaler have its way through a step, and return how soon there are enough workers.

    Requests are answered in their order; `longest_wait_s` is how long the unluckiest waits.
    """
    scaler, _ = autoscaler(unit_rate)
    lag, workers, asked_for = 0.0, 1, 1
    lags, answered, came, went = [0.0], [0.0], [0.0], [0.0]
    starting: list[tuple[int, int]] = []
    enough_s: int | None = None
    for at_s in range(END_S):
        coming = rates[at_s >= STEP_S]
        workers = max([workers, *(number for ready_s, number in starting if ready_s <= at_s)])
        done = min(lag + coming, workers * unit_rate)
        lag += coming - done
        lags.append(lag)
        answered.append(done)
        came.append(came[-1] + coming)
        went.append(went[-1] + done)
        if at_s >= STEP_S and enough_s is None and workers >= ceil(coming / unit_rate):
            enough_s = at_s - STEP_S
        if at_s % ASKED_EVERY_S == 0:
            recent = answered[-int(WINDOW_S) :]
            growth = max(0.0, lag - lags[-int(CHART_GROWTH_S) - 1 :][0]) / CHART_GROWTH_S
            values = {"requests": lag, "rate": sum(recent) / len(recent) + (growth if with_growth else 0.0)}
            values["age"] = workers * _oldest_s(came, went)
            wanted = min(scaler.replicas(values, PARTITIONS), max(asked_for * 2, asked_for + 4))
            if wanted > asked_for:
                asked_for = wanted
                starting.append((at_s + STARTING_S, wanted))
    return {
        "with_growth": with_growth,
        "rates": rates,
        "wanted": ceil(rates[1] / unit_rate),
        "enough_after_s": enough_s,
        "most_workers": workers,
        "longest_wait_s": max(_oldest_s(came[:end], went[:end]) for end in range(1, END_S)),
    }


def _oldest_s(came: Sequence[float], went: Sequence[float]) -> int:
    """Return the age of the oldest request without an answer, from how many came and went up to each second."""
    return sum(number > went[-1] + 1e-6 for number in came)


if __name__ == "__main__":
    main()
