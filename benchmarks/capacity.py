"""Check the simulation against this machine: `python -m benchmarks.capacity`. At most ten minutes, on a quiet machine.

With 1, 2 and 4 workers, requests for photos of 1500×1000 arrive at random, at the times that the simulation gets as
well: calm at first, then, as a step, more than the machine can do, then calm again. It compares the rate during the
step, p50 and p99 of what arrived in the first calm, and the lag over time, and adds a line for each number of workers
to benchmarks/results/capacity.jsonl. Run `python -m benchmarks.service_times` first, on the same machine: the
simulation works with its figures. Afterwards `make docs` puts the table into docs/scaling.md.

Exits with 1 if a figure is more than 10 % off, or if other programs took so much of the machine that it does not count.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

import consumer
from benchmarks.ending import run
from benchmarks.machine import CORES, Meter, record
from benchmarks.photos import make_photos, photo_settings
from cutstream.clients.kafka import OutgoingRecord, RecordWriter, TopicReader, ensure_topics
from cutstream.contract.messages import Request, encode
from cutstream.exposition import read_exposition
from cutstream.metrics import BACKLOG, LAG, OLDEST_AGE
from cutstream.settings import Settings
from deploy.capacity.measured import load as load_measured
from deploy.capacity.simulation.run import on_one_machine, poisson, pooled, saturated_rate, work_of
from deploy.capacity.simulation.stream import Outcome
from deploy.local.running import worker_server
from deploy.local.stack import Stack, local_stack
from deploy.local.state import throwaway
from export.repository.render import render
from producer.following import RequestFollower, result_of

MEGAPIXELS = 1.5
PHASES = ((40.0, 0.6), (25.0, 1.3), (30.0, 0.4))  # seconds, and the rate as a share of what the simulation reaches
WARM_UP = 80
SEEDS = (1, 2, 3)
WITHIN = 0.10
MOST_OTHERS = 0.03  # of the machine, or the run does not count
LONGEST_DRAIN_S = 60.0


@dataclass
class Run:
    """What happened. Times are seconds since the start; `samples` are (time, lag, unread, oldest age)."""

    arrived: dict[str, float]
    done: dict[str, float] = field(default_factory=dict)
    samples: list[tuple[float, float, float, float]] = field(default_factory=list)
    others_share: float = 0.0
    cpu_ms: dict[str, float] = field(default_factory=dict)

    def outcome(self) -> Outcome:
        """Return it in the form of the simulation's, so that the same code measures both."""
        order = sorted(self.done, key=self.arrived.__getitem__)
        latencies = [(self.arrived[id], self.done[id] - self.arrived[id]) for id in order]
        return Outcome(sorted(self.arrived.values()), sorted(self.done.values()), latencies)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--workers", default="1,2,4", help="comma-separated list")
    arguments.add_argument("--load", type=float, default=1.0, help="of all rates: 0.5 for a look on a busy machine")
    arguments.add_argument("--scale", type=float, default=1.0, help="of all times: 0.2 for a short look")
    chosen = arguments.parse_args()
    phases = [(seconds * chosen.scale, share * chosen.load) for seconds, share in PHASES]
    good = True
    with (
        TemporaryDirectory(prefix="cutstream-bench-") as folder,
        throwaway(photo_settings(Path(folder))) as settings,
    ):
        addresses = make_photos(Path(folder) / "photos", 40)
        render(settings)
        with local_stack(settings) as stack:
            ensure_topics(stack.settings.kafka)
            for workers in map(int, chosen.workers.split(",")):
                good &= check(stack, addresses, workers, phases)
    return 0 if good else 1


def check(stack: Stack, addresses: Sequence[str], workers: int, phases: Sequence[tuple[float, float]]) -> bool:
    """Run so many workers, and the simulation, with the same arrivals. Tell whether they agree."""
    measured = load_measured()
    work, deployment = work_of(measured, MEGAPIXELS), on_one_machine(measured, CORES, workers)
    capacity = saturated_rate(deployment, work)
    arrivals = poisson([(seconds, share * capacity) for seconds, share in phases], seed=workers)
    real = measure(stack, addresses, workers, arrivals)
    simulated = pooled(deployment, work, arrivals, SEEDS)
    calm_s, step_s = accumulate(seconds for seconds, _ in phases[:2])
    figures = compare(real.outcome(), simulated, calm_s, step_s)
    line = record(
        "capacity",
        workers=workers,
        phases=[[seconds, round(share * capacity, 2)] for seconds, share in phases],
        capacity_simulated=round(capacity, 2),
        photos=len(arrivals),
        others_share_of_machine=round(real.others_share, 3),
        whole_core_ms_by_process=real.cpu_ms,
        figures=figures,
        inputs=measured.source,
        samples=[[round(value, 2) for value in sample] for sample in real.samples],
    )
    return _print(line)


def compare(real: Outcome, simulated: Sequence[Outcome], calm_s: float, step_s: float) -> dict[str, list[float]]:
    """Return each figure as [measured, simulated]: the mean over the runs of the simulation.

    `lag` is the mean over time, second by second, and `lag_apart` the mean difference of the two curves beside it.
    """
    end = int(real.committed_s[-1]) + 1
    fed_s = calm_s + (step_s - calm_s) * 0.2  # the queue has built up: from now on the rate is what the machine can do

    def of(outcome: Outcome) -> dict[str, float]:
        return {
            "rate": outcome.rate(fed_s, step_s),
            "p50_ms": outcome.latency_s(0.5, 0, calm_s) * 1000,
            "p99_ms": outcome.latency_s(0.99, 0, calm_s) * 1000,
            "lag": sum(outcome.lag(t) for t in range(end)) / end,
            "lag_most": max(outcome.lag(t) for t in range(end)),
        }

    ours = [of(outcome) for outcome in simulated]
    figures = {
        name: [round(value, 2), round(sum(each[name] for each in ours) / len(ours), 2)]
        for name, value in of(real).items()
    }
    apart = [abs(real.lag(t) - sum(o.lag(t) for o in simulated) / len(simulated)) for t in range(end)]
    return {**figures, "lag_apart": [figures["lag"][0], round(sum(apart) / len(apart), 2)]}


def errors(figures: dict[str, list[float]]) -> dict[str, float]:
    """Return how far the simulation is off, as a share of what was measured."""
    off = {name: ours / real - 1 for name, (real, ours) in figures.items() if name != "lag_apart"}
    mean, apart = figures["lag_apart"]
    return {**off, "lag_apart": apart / mean}


def _print(line: dict[str, Any]) -> bool:
    table = Table(title=f"{line['workers']} workers, {line['photos']} photos")
    for name in ("", "measured", "simulated", "off"):
        table.add_column(name, justify="right")
    off = errors(line["figures"])
    for name, (real, ours) in line["figures"].items():
        table.add_row(name, f"{real:,.1f}", f"{ours:,.1f}", f"{off[name]:+.1%}")
    console = Console()
    console.print(table)
    if line["others_share_of_machine"] > MOST_OTHERS:
        console.print(f"other programs took {line['others_share_of_machine']:.0%} of the machine: this does not count")
        return False
    return all(abs(value) <= WITHIN for value in off.values())


def measure(stack: Stack, addresses: Sequence[str], workers: int, arrivals: Sequence[float]) -> Run:
    """Start the workers, warm them up, and send requests at these times."""
    with ExitStack() as started:
        ports = []
        for number in range(workers):
            settings = _worker_settings(stack.settings, number)
            server = worker_server(settings, consumer.COMMAND, f"worker-{number}")
            stack.supervisor.start(server)
            started.callback(stack.supervisor.stop, server.name)
            ports.append(settings.worker.port)
        with RequestFollower(stack.settings.kafka) as follower:
            follower.follow([_request(f"warm-{workers}-{n}", addresses, n) for n in range(WARM_UP * workers)])
        return _Sender(stack.settings, addresses, workers, ports).run(arrivals)


def _worker_settings(settings: Settings, number: int) -> Settings:
    worker = settings.worker.model_copy(update={"port": settings.worker.port + number})
    page = settings.page.model_copy(update={"enabled": False})
    return settings.model_copy(update={"worker": worker, "page": page})


def _request(id: str, addresses: Sequence[str], number: int) -> Request:
    return Request(id=id, image=addresses[number % len(addresses)])


class _Sender:
    """Writes each request when it is due, from a thread of its own, and reads the results."""

    def __init__(self, settings: Settings, addresses: Sequence[str], workers: int, ports: Sequence[int]) -> None:
        self._settings = settings
        self._addresses = addresses
        self._name = f"step-{workers}"
        self._ports = ports
        self._ended = threading.Event()

    def run(self, arrivals: Sequence[float]) -> Run:
        kafka = self._settings.kafka
        happened = Run({f"{self._name}-{n}": at_s for n, at_s in enumerate(arrivals)})
        reader = TopicReader(kafka, kafka.results_topic, from_end=True)
        writer = RecordWriter(kafka, linger_ms=0)
        reader.start()
        writer.start()
        began, meter = time.monotonic(), Meter()
        threads = [
            threading.Thread(target=work, daemon=True)
            for work in (partial(self._write, writer, arrivals, began), partial(self._sample, happened, began))
        ]
        for thread in threads:
            thread.start()
        try:
            last_s = arrivals[-1] + LONGEST_DRAIN_S * len(self._ports)
            while len(happened.done) < len(arrivals):
                for found in map(result_of, reader.poll(0.1)):
                    if found is not None and found.id in happened.arrived:
                        if found.status != "ok":
                            raise SystemExit(f"a photo was not cut out: {found.error}")
                        happened.done[found.id] = time.monotonic() - began
                if time.monotonic() - began > last_s:
                    raise SystemExit(f"{len(arrivals) - len(happened.done)} photos have no result in time")
            spent = meter.read()
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(2)
            writer.close()
            reader.close()
        happened.others_share = spent.others_cpu_s / spent.wall_s / CORES
        happened.cpu_ms = {role: round(s / len(arrivals) * 1000, 2) for role, s in spent.by_process.items()}
        return happened

    def _write(self, writer: RecordWriter, arrivals: Sequence[float], began: float) -> None:
        for number, at_s in enumerate(arrivals):
            if self._ended.wait(max(0.0, began + at_s - time.monotonic())):
                return
            request = _request(f"{self._name}-{number}", self._addresses, number)
            topic = self._settings.kafka.requests_topic
            writer.write([OutgoingRecord(topic, (request.id or "").encode(), encode(request))])

    def _sample(self, happened: Run, began: float) -> None:
        """Record once a second what a scaler would see."""
        while not self._ended.wait(1.0):
            read = [read_exposition(self._metrics(port)) for port in self._ports]
            happened.samples.append(
                (
                    time.monotonic() - began,
                    sum(each.total(LAG) for each in read),
                    sum(each.total(BACKLOG) for each in read),
                    max(each.total(OLDEST_AGE) for each in read),
                )
            )

    def _metrics(self, port: int) -> str:
        connection = http.client.HTTPConnection(self._settings.worker.host, port, timeout=5)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()


if __name__ == "__main__":
    sys.exit(run(main))
