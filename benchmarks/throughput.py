"""Streamed throughput against this machine's own bound: `make bench`.

(a) Each stage alone, before and after (b), with the worker's own code and concurrency: core-seconds per photo of
    everything that runs for it. Their sum c gives the bound: cores / c.
(b) The whole way, Kafka to objects to Kafka: 300 photos submitted at once, counted from the 100th result to the last;
    then a fixed rate of 70 % of what was reached, for latencies that do not measure the queue.
(c) The bare engine without Triton, for orientation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from openvino import AsyncInferQueue
from rich.console import Console
from rich.table import Table

from benchmarks import photos
from benchmarks.machine import CORES, Meter, Spent, record, rss_bytes
from consumer.app import Workshop
from consumer.jobs import Job
from consumer.memory import keep_freed_memory
from consumer.runner import Stage
from consumer.window import Window
from cutstream.clients.kafka import Partition, Record
from cutstream.messages import Request
from cutstream.metrics import Metrics
from cutstream.settings import ObjectSettings, Settings, load
from deploy.local.running import RunningStack, running_stack, throwaway, worker_server
from deploy.triton.backends.precision import compile_network
from export.profiles import networks_of
from export.repository import render
from producer.batch import Batch, Submission

WARM_UP, COUNTED, STAGED, HELD = 100, 200, 96, 16
OPEN_LOOP_SHARE, OPEN_LOOP_S = 0.7, 20.0
RECORD = Record(Partition("benchmark", 0), 0, 0, None, b"", [])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--photos", type=int, default=COUNTED)
    arguments.add_argument("--profiles", default="", help="comma-separated; all served ones if not given")
    chosen = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cutstream-bench-") as folder,
        throwaway(_settings(Path(folder))) as settings,
    ):
        addresses = photos.make(Path(folder) / "photos", 40)
        render(settings)
        with running_stack(settings) as stack:
            for profile in chosen.profiles.split(",") if chosen.profiles else settings.models.profiles:
                stack.supervisor.stop("worker")
                before = measure_stages(stack.settings, addresses, profile)
                engine = measure_engine(stack.settings, profile)
                stack.supervisor.start(worker_server(stack.settings))
                whole = measure_whole(stack, addresses, profile, chosen.photos)
                stack.supervisor.stop("worker")
                after = measure_stages(stack.settings, addresses, profile)  # the machine's speed drifts
                stack.supervisor.start(worker_server(stack.settings))
                report(profile, (before, after), whole, engine)


def measure_stages(settings: Settings, addresses: Sequence[str], profile: str) -> dict[str, Spent]:
    """Core-seconds for STAGED runs of each stage on what the stage before made of HELD photos.

    What a run makes is dropped at once, as in the worker: results that pile up would cost fresh pages every time.
    """
    keep_freed_memory()
    workshop = Workshop(settings, Metrics())
    workshop.start()
    jobs = [
        Job(record=RECORD, request=Request(image=address), id=f"staged-{n}", profile=profile)
        for n, address in enumerate(addresses[:HELD])
    ]
    values: list[Any] = [job.request for job in jobs]
    spent = {}
    for stage in workshop.stages:
        made = _through(stage, jobs, values)  # also warms buffers, caches and batches
        meter = Meter()
        _through(stage, jobs * (STAGED // HELD), values * (STAGED // HELD), keep=False)
        spent[stage.name] = meter.read()
        values = made
    workshop.close()
    return spent


def _through(stage: Stage, jobs: Sequence[Job], values: Sequence[Any], keep: bool = True) -> list[Any]:
    done: list[Any] = [None] * len(jobs)

    def work(number: int) -> int:
        with stage.places, ExitStack() as lease:  # of this run: the job's own would add up over the repetitions
            made = stage.run(replace(jobs[number], lease=lease), values[number])
        if keep:
            done[number] = made
        return number

    window: Window[int, int] = Window(16, work)
    window.start()
    todo = list(range(len(jobs)))
    while todo or window.busy:
        while todo and window.free:
            window.submit(todo.pop(0))
        window.collect(1.0)
    return done


def measure_engine(settings: Settings, profile: str) -> Spent | None:
    """STAGED pictures through the profile's networks in this process, without Triton; OpenVINO only."""
    if settings.models.engine != "openvino":
        return None
    queues = [_engine(settings, name) for name in networks_of([profile])]
    meter = Meter()
    for queue in queues:
        picture = np.random.default_rng(1).integers(0, 256, tuple(queue[0].model_inputs[0].shape), np.uint8)
        for _ in range(STAGED):
            queue.start_async({0: picture})
        queue.wait_all()
    return meter.read()


def _engine(settings: Settings, name: str) -> AsyncInferQueue:
    verdict = json.loads((settings.stack.state / "triton" / "precision" / f"{name}.json").read_text())
    network = settings.stack.model_repository / name / "1" / "model.onnx"
    return AsyncInferQueue(compile_network(network, verdict["precision"], CORES))


def measure_whole(stack: RunningStack, addresses: Sequence[str], profile: str, count: int) -> dict[str, Any]:
    with Submission(stack.settings.kafka) as submission, _watched_memory() as peak:
        counting = _Counting(WARM_UP, stack)
        batch = submission.run(_requests(addresses, "counted", WARM_UP + count, profile), watch=counting)
        _all_ok(batch)
        spent, counted = counting.spent, counting.counted
        steady = _open_loop(submission, addresses, profile, counted / spent.wall_s * OPEN_LOOP_SHARE)
    return {"counted": counted, "spent": spent, "steady": steady, "peak_rss": dict(peak)}


class _Counting:
    """Meters from the result that ends the warm-up to the last one."""

    def __init__(self, warm_up: int, stack: RunningStack) -> None:
        self._warm_up = warm_up
        self._stack = stack
        self._meter: Meter | None = None

    def __call__(self, batch: Batch) -> None:
        self._stack.check()
        done = len(batch.results)
        if self._meter is None and done >= self._warm_up:
            self._meter, self._skipped = Meter(), done
        if self._meter is not None and done == len(batch.requests):
            self.spent, self.counted = self._meter.read(), done - self._skipped


def _open_loop(submission: Submission, addresses: Sequence[str], profile: str, rate: float) -> Batch:
    requests = _requests(addresses, "steady", max(20, int(rate * OPEN_LOOP_S)), profile)
    batch = submission.run(requests, interval_s=1.0 / rate)
    _all_ok(batch)
    return batch


def _requests(addresses: Sequence[str], name: str, count: int, profile: str) -> list[Request]:
    return [
        Request(id=f"{name}-{profile}-{n}", image=addresses[n % len(addresses)], profile=profile) for n in range(count)
    ]


def _all_ok(batch: Batch) -> None:
    if batch.count("ok") != len(batch.requests) or batch.duplicates:
        failed = next((r.error for r in batch.results.values() if r.error), None)
        raise SystemExit(f"not every photo was cut out once: {failed}, {batch.duplicates} duplicates")


class _watched_memory:
    """The highest resident memory of each role, looked at twice a second."""

    def __enter__(self) -> dict[str, int]:
        self._stop = threading.Event()
        self._peak: dict[str, int] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self._peak

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            for role in ("worker", "decoders", "triton", "kafka"):
                self._peak[role] = max(self._peak.get(role, 0), rss_bytes(role))


def report(profile: str, stages: tuple[dict[str, Spent], ...], whole: dict[str, Any], engine: Spent | None) -> None:
    spent: Spent = whole["spent"]
    count: int = whole["counted"]
    rate = count / spent.wall_s
    core_ms = {name: statistics.mean(s[name].cpu_s for s in stages) / STAGED * 1000 for name in stages[0]}
    c_ms = sum(core_ms.values())
    bound = CORES / c_ms * 1000
    all_ms = spent.cpu_s / count * 1000
    line = record(
        "throughput",
        profile=profile,
        photos=count,
        size="1500x1000",
        images_per_second=round(rate, 2),
        bound_images_per_second=round(bound, 2),
        ratio_to_bound=round(rate / bound, 3),
        overhead_ms=round(all_ms - c_ms, 1),
        stage_core_ms={name: round(ms, 1) for name, ms in core_ms.items()},
        bare_engine_core_ms=round(engine.cpu_s / STAGED * 1000, 1) if engine else None,
        bare_engine_images_per_second=round(STAGED / engine.wall_s, 2) if engine else None,
        whole_core_ms=round(all_ms, 1),
        whole_core_ms_by_process={role: round(s / count * 1000, 1) for role, s in spent.by_process.items()},
        p50_ms=round(whole["steady"].latency_ms(0.5), 1),
        p95_ms=round(whole["steady"].latency_ms(0.95), 1),
        steady_images_per_second=round(whole["steady"].images_per_second, 2),
        others_share_of_machine=round(spent.others_cpu_s / spent.wall_s / CORES, 3),
        peak_rss_mb={role: round(size / 1e6) for role, size in whole["peak_rss"].items()},
    )
    _print(line)


def _print(line: dict[str, Any]) -> None:
    table = Table(show_header=False, title=f"profile {line['profile']}, {line['photos']} photos of {line['size']}")
    for name in (
        "images_per_second",
        "bound_images_per_second",
        "ratio_to_bound",
        "overhead_ms",
        "p50_ms",
        "p95_ms",
        "stage_core_ms",
        "bare_engine_core_ms",
        "bare_engine_images_per_second",
        "whole_core_ms_by_process",
        "peak_rss_mb",
        "others_share_of_machine",
    ):
        table.add_row(name, str(line[name]))
    Console(width=140).print(table)


def _settings(folder: Path) -> Settings:
    settings = load()
    objects = ObjectSettings(destination=(folder / "out").as_uri(), roots=(folder,))
    return settings.model_copy(update={"objects": objects})


if __name__ == "__main__":
    main()
