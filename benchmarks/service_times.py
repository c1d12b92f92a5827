"""Measure what `cutstream plan` and the simulation are made of: `python -m benchmarks.service_times`.

For photos of several sizes it runs each stage alone and counts the core-seconds per photo of each process, and the
bytes that a photo and its cutout take. Then it sends photos of 1500×1000 all the way, for what the worker, the brokers
and Triton need beside the stages. It adds a line to benchmarks/results/service_times.jsonl and writes
deploy/capacity/measured.toml from it; afterwards `make docs` brings docs/scaling.md up to date. Three minutes.

`--from-results` only writes that file again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rich.console import Console

import consumer
from benchmarks.machine import CORES, Meter, describe_machine, read_results, record, rss_bytes
from benchmarks.photos import make_photos, photo_settings
from benchmarks.throughput import StageRunner, StreamRunner
from consumer.resources.allocator import keep_freed_memory
from cutstream.contract.envelope import result_headers
from cutstream.contract.messages import encode
from cutstream.exposition import read_exposition
from cutstream.metrics import COMMIT_RESULTS, COMMIT_SECONDS
from cutstream.settings import Settings
from deploy.capacity.fitting import as_toml, fit
from deploy.capacity.measured import FILE, parse
from deploy.capacity.simulation.run import fit_locked_share
from deploy.local.running import RunningStack, running_stack
from deploy.local.state import throwaway
from export.repository.render import render
from producer.following import RequestFollower

SIZES = ((1500, 1000), (3000, 2000), (4200, 2800))
WHOLE = SIZES[0]  # of the photos that go all the way
HELD = 8  # photos of a size: those of 12 megapixels take much memory between stages
REPEATS = 2
COUNTED = 300
CALM_RATE = 5.0  # a second: a transaction has one result, and waits for nobody
IDLE_S = 10.0
MOST_OTHERS = 0.05  # of the machine


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--profile", default="fast")
    arguments.add_argument("--from-results", action="store_true")
    chosen = arguments.parse_args()
    if not chosen.from_results:
        keep_freed_memory()
        with (
            TemporaryDirectory(prefix="cutstream-bench-") as folder,
            throwaway(photo_settings(Path(folder))) as settings,
        ):
            render(settings)
            with running_stack(settings, consumer.COMMAND) as stack:
                line = measure(stack, Path(folder), chosen.profile)
        Console(width=120).print_json(json.dumps(line))
    write_measured()


def write_measured() -> None:
    """Write measured.toml from the last line of each profile."""
    FILE.write_text(as_toml(fit(read_results("service_times"), read_results("throughput"))))


def measure(stack: RunningStack, folder: Path, profile: str) -> dict[str, Any]:
    addresses = {size: make_photos(folder / f"{size[0]}", 40 if size == WHOLE else HELD, size) for size in SIZES}
    sizes = [_measure_size(stack.settings, addresses[size], size, profile) for size in SIZES]
    with RequestFollower(stack.settings.kafka) as follower:
        stream = StreamRunner(stack, follower, addresses[WHOLE], profile)
        stream.warm_up()
        before = _commits(stack.settings)
        counted, spent = stream.run_slice(COUNTED)
        busy = _commits(stack.settings) - before
        idle = _idle()
        before, meter = _commits(stack.settings), Meter()
        steady = stream.run_steady(CALM_RATE)
        calm, calm_spent = _commits(stack.settings) - before, meter.read()
    results = list(steady.results.values())
    headers = [sum(len(name) + len(value) for name, value in result_headers(result, 0.0)) for result in results]
    line = dict(
        profile=profile,
        photos=counted,
        sizes=sizes,
        images_per_second=round(counted / spent.wall_s, 2),
        whole_core_ms_by_process={role: round(s / counted * 1000, 2) for role, s in spent.by_process.items()},
        others_share_of_machine=round(spent.others_cpu_s / spent.wall_s / CORES, 3),
        transaction_ms=round(calm.seconds / calm.number * 1000, 1),
        results_per_transaction=round(busy.results / busy.number, 1),
        calm_core_ms_by_process={
            role: round((s - idle.get(role, 0.0) * calm_spent.wall_s) / len(results) * 1000, 2)
            for role, s in calm_spent.by_process.items()
        },
        calm_results_per_transaction=round(calm.results / calm.number, 1),
        request_bytes=len(encode(next(iter(steady.requests.values())))),
        result_bytes=round((sum(len(encode(result)) for result in results) + sum(headers)) / len(results)),
        rss_mb={role: round(rss_bytes(role) / 1e6) for role in ("worker", "decoders", "triton", "kafka")},
    )
    if line["others_share_of_machine"] <= MOST_OTHERS:  # or the rate is not this machine's
        line["locked_share"] = _locked_share(line)
    return record("service_times", **line)


def _locked_share(line: dict[str, Any]) -> float | None:
    """Fit the only figure that cannot be measured alone to the rate of one worker."""
    if line["profile"] != "fast":
        return None
    measured = parse(fit([{"time": "now", **describe_machine(), **line}]))
    return fit_locked_share(measured, line["sizes"][0]["megapixels"], CORES, line["images_per_second"])


def _measure_size(settings: Settings, addresses: Sequence[str], size: tuple[int, int], profile: str) -> dict[str, Any]:
    with StageRunner(settings, addresses, profile, held=HELD) as png:
        stages = _least([png.run_stages() for _ in range(REPEATS)])
        png_bytes = png.encoded_bytes()
    with StageRunner(settings, addresses, profile, format="webp", held=HELD) as webp:
        of_webp = _least([webp.run_stages(["encode"]) for _ in range(REPEATS)])
        webp_bytes = webp.encoded_bytes()
    sources = [Path(address.removeprefix("file://")).stat().st_size for address in addresses[:HELD]]
    return {
        "megapixels": size[0] * size[1] / 1e6,
        "source_bytes": round(sum(sources) / len(sources)),
        "png_bytes": round(png_bytes),
        "webp_bytes": round(webp_bytes),
        "stage_core_ms": stages,
        "webp_core_ms": round(sum(of_webp["encode"].values()), 2),
    }


def _least(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the least of several runs in milliseconds: other programs only add to CPU time."""
    return {
        stage: {role: round(min(run[stage][role] for run in runs) * 1000, 2) for role in roles}
        for stage, roles in runs[0].items()
    }


def _idle() -> dict[str, float]:
    """Return the cores that each process keeps busy while nothing is sent."""
    meter = Meter()
    time.sleep(IDLE_S)
    spent = meter.read()
    return {role: s / spent.wall_s for role, s in spent.by_process.items()}


class _Commits(NamedTuple):
    """The worker's transactions so far: their seconds, their results and their number."""

    seconds: float
    results: float
    number: float

    def __sub__(self, earlier: _Commits) -> _Commits:
        return _Commits(*(now - before for now, before in zip(self, earlier, strict=True)))


def _commits(settings: Settings) -> _Commits:
    connection = http.client.HTTPConnection(settings.worker.host, settings.worker.port, timeout=5)
    connection.request("GET", "/metrics")
    read = read_exposition(connection.getresponse().read().decode())
    connection.close()
    return _Commits(
        read.total(COMMIT_SECONDS, "sum"), read.total(COMMIT_RESULTS, "sum"), read.total(COMMIT_SECONDS, "count")
    )


if __name__ == "__main__":
    main()
