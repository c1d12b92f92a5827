"""Simulate what no machine here can run: up to 1,000 photos a second. `python -m benchmarks.scale`, about five minutes.

A unit is what was measured: two cores with a worker and its Triton. Each scenario changes one thing until something
breaks. The lines of benchmarks/results/scale.jsonl are written anew, with the source of the service times;
docs/scaling.md shows them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from benchmarks.machine import RESULTS
from deploy.capacity.examples import EXAMPLES
from deploy.capacity.measured import Measured, load
from deploy.capacity.plan import make_plan
from deploy.capacity.simulation.run import poisson, saturated_rate, with_costs, work_of
from deploy.capacity.simulation.stream import Deployment, Stream

MEGAPIXELS = 1.5
TARGET = 1000.0  # photos a second
SECONDS, WARM_UP_S = 8.0, 3.0
UNITS = 48
EXAMPLE_S = 300.0
COPIES = 3
FILE = RESULTS / "scale.jsonl"


def main() -> None:
    measured = load()
    console = Console(width=160)
    lines = []
    for line in (*planned(measured), *growing(measured), *sharing(measured), *brokers(measured)):
        console.print(line)
        lines.append({**line, "inputs": measured.source})
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines))


def planned(measured: Measured) -> Iterator[dict[str, Any]]:
    """The worked examples at their peak, as planned but without what may fail, beside what the plan says of them."""
    for name, example in EXAMPLES.items():
        demand, choices = example.demand, example.choices
        values = make_plan(demand, measured, choices).values()
        deployment = Deployment(
            machines=int(values["workers"]) - choices.spare,
            cores=choices.cores_per_worker,
            triton_cores=choices.triton_cores,
            partitions=int(values["partitions"]),
            broker_cores=int(values["broker_cores"]),
        )
        deployment = with_costs(deployment, measured, COPIES)
        work = work_of(measured, demand.megapixels, demand.output, demand.profile, choices.object_wait_s)
        outcome = Stream(deployment, work, seed=1).run(poisson([(EXAMPLE_S, values["peak_rate"])], seed=1))
        core_s = outcome.committed_s[-1] * deployment.machines * deployment.cores
        yield {
            "scenario": "examples",
            "example": name,
            "most_rate": [
                round(values["rate_most"] * deployment.machines, 2),
                round(saturated_rate(deployment, work), 2),
            ],
            "utilisation": [values["utilisation"], round(outcome.busy_s / core_s, 3)],
            "p50_s": [values["p50_s"], round(outcome.latency_s(0.5), 3)],
            "p99_s": [values["p99_s"], round(outcome.latency_s(0.99), 3)],
        }


def growing(measured: Measured) -> Iterator[dict[str, Any]]:
    """More and more units with the default of 8 partitions, and a backlog."""
    for units in (1, 2, 4, 8, 16):
        deployment = Deployment(machines=units, partitions=8, broker_cores=24)
        rate = saturated_rate(deployment, work_of(measured, MEGAPIXELS), photos=300 * min(units, 8))
        yield {"scenario": "units", "units": units, "partitions": 8, "rate": round(rate, 1)}


def sharing(measured: Measured) -> Iterator[dict[str, Any]]:
    """Enough units for the target, and more and more partitions."""
    for partitions in (48, 64, 96, 128, 256, 512):
        yield {"scenario": "partitions", **_steady(measured, partitions, broker_cores=24)}


def brokers(measured: Measured) -> Iterator[dict[str, Any]]:
    """Enough units and partitions, and fewer and fewer cores of the brokers, for three copies of everything."""
    for cores in (24, 16, 12, 8, 4):
        yield {"scenario": "brokers", **_steady(measured, 512, broker_cores=cores)}


def _steady(measured: Measured, partitions: int, broker_cores: int) -> dict[str, Any]:
    """Send photos at the target for some seconds."""
    deployment = Deployment(
        machines=UNITS,
        partitions=partitions,
        broker_cores=broker_cores,
    )
    deployment = with_costs(deployment, measured, COPIES)
    arrivals = poisson([(SECONDS, TARGET)], seed=1)
    outcome = Stream(deployment, work_of(measured, MEGAPIXELS), seed=1).run(arrivals, until_s=SECONDS)
    return {
        "units": UNITS,
        "partitions": partitions,
        "broker_cores": broker_cores,
        "rate": round(outcome.rate(WARM_UP_S, SECONDS), 1),
        "lag": outcome.lag(SECONDS),
        "p50_ms": round(outcome.latency_s(0.5) * 1000),
        "p99_ms": round(outcome.latency_s(0.99) * 1000),
        "transactions_per_s": round(outcome.transactions / SECONDS, 1),
        "busy": round(outcome.busy_s / SECONDS / UNITS / deployment.cores, 3),
    }


if __name__ == "__main__":
    main()
