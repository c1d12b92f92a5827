"""Measure the throughput of the whole system against the bound of this machine: `make bench`.

(a) Run each stage alone, with the worker's own code and concurrency, and count the core-seconds per photo of all
    processes that work for it. Their sum c gives the bound: cores / c.
(b) Send photos through the whole system, from Kafka to objects to Kafka: 100 to warm up, then 200 counted. Then send
    them at a fixed 70 % of the rate reached, for latencies that do not measure the queue.
(c) Run the bare inference engine without Triton, for orientation.

(a) and (b) take turns in short slices, a b b a a b b a a b, because the speed of a shared machine drifts by more than
the difference to be measured. Each turn gives a ratio of its own, and their spread shows how reliable the result is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from openvino import AsyncInferQueue
from rich.console import Console
from rich.table import Table

import consumer
from benchmarks.machine import CORES, Meter, Spent, record, rss_bytes
from benchmarks.photos import make_photos, photo_settings
from consumer.app import PipelineRuntime
from consumer.jobs import Job, first_delivery
from consumer.resources.allocator import keep_freed_memory
from consumer.runner import Stage
from cutstream.clients.kafka import Partition, Record
from cutstream.clock import SystemClock
from cutstream.contract.messages import Request
from cutstream.contract.recipe import parse_recipe
from cutstream.metrics import Metrics
from cutstream.settings import Settings
from deploy.local.running import RunningStack, running_stack
from deploy.local.state import throwaway
from deploy.triton.backends.precision import compile_network
from export.profiles import networks_of
from export.repository.render import render
from producer.following import Batch, RequestFollower

WARM_UP, COUNTED = 100, 200
TURNS, HELD, REPEATED = 5, 16, 2
EDGE = 48  # uncounted photos before and after a slice: a window and a half, while the system fills and empties
OPEN_LOOP_SHARE, OPEN_LOOP_S = 0.7, 20.0
ENGINE_IMAGES = 64
RECORD = Record(Partition("benchmark", 0), 0, 0, None, b"", [])
STAGE_ROLES = ("benchmark", "decoders", "triton")  # the processes that work when a stage runs alone


@dataclass(frozen=True)
class Turn:
    """One slice of each kind: core-seconds per photo of each stage, and the cost of `counted` photos end to end."""

    stages: dict[str, float]
    counted: int
    spent: Spent

    @property
    def bound(self) -> float:
        return CORES / sum(self.stages.values())

    @property
    def images_per_second(self) -> float:
        return self.counted / self.spent.wall_s


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--photos", type=int, default=COUNTED)
    arguments.add_argument("--profiles", default="", help="comma-separated list; defaults to all served profiles")
    chosen = arguments.parse_args()
    keep_freed_memory()
    with (
        tempfile.TemporaryDirectory(prefix="cutstream-bench-") as folder,
        throwaway(photo_settings(Path(folder))) as settings,
    ):
        addresses = make_photos(Path(folder) / "photos", 40)
        render(settings)
        with running_stack(settings, consumer.COMMAND) as stack:
            for profile in chosen.profiles.split(",") if chosen.profiles else settings.models.profiles:
                measure(stack, addresses, profile, chosen.photos)


def measure(stack: RunningStack, addresses: Sequence[str], profile: str, count: int) -> None:
    with RequestFollower(stack.settings.kafka) as follower, StageRunner(stack.settings, addresses, profile) as stages:
        stream = StreamRunner(stack, follower, addresses, profile)
        with _PeakMemory() as peak:
            stream.warm_up()
            turns = [_run_turn(stages, stream, -(-count // TURNS), number % 2 == 1) for number in range(TURNS)]
            rate = sum(turn.counted for turn in turns) / sum(turn.spent.wall_s for turn in turns)
            steady = stream.run_steady(rate * OPEN_LOOP_SHARE)
    report(profile, turns, rate, steady, peak, measure_engine(stack.settings, profile))


def _run_turn(stages: StageRunner, stream: StreamRunner, count: int, stream_first: bool) -> Turn:
    if stream_first:
        counted, spent = stream.run_slice(count)
        return Turn(stages.run_slice(), counted, spent)
    core_s = stages.run_slice()
    return Turn(core_s, *stream.run_slice(count))


class StageRunner:
    """Runs the worker's stages in this process, each one alone, on the outputs of the stage before for `held` photos.

    The outputs of a run are dropped at once, as in the worker: collected outputs would need new memory pages every
    time.
    """

    def __init__(
        self, settings: Settings, addresses: Sequence[str], profile: str, format: str = "auto", held: int = HELD
    ) -> None:
        self._runtime = PipelineRuntime(settings, Metrics(), SystemClock())
        self._stages = self._runtime.pipeline.stages
        self._jobs = [
            Job(
                record=RECORD,
                origin=first_delivery(RECORD).origin,
                id=f"staged-{n}",
                profile=profile,
                recipe=parse_recipe(Request(image=address, format=format)),
            )
            for n, address in enumerate(addresses[:held])
        ]
        self._inputs: dict[str, list[Any]] = {}

    def __enter__(self) -> StageRunner:
        self._runtime.start()
        values: list[Any] = [job.recipe for job in self._jobs]
        for stage in self._stages:
            self._inputs[stage.name] = values
            values = _through(stage, self._jobs, values)  # also warms buffers and caches
        return self

    def __exit__(self, *exc: object) -> None:
        self._runtime.close()

    def run_slice(self) -> dict[str, float]:
        """Return the core-seconds per photo of each stage."""
        return {stage.name: sum(self._alone(stage).values()) for stage in self._stages}

    def run_stages(self, only: Sequence[str] = ()) -> dict[str, dict[str, float]]:
        """Return the core-seconds per photo of each stage, or of some stages only, by the role of the process."""
        return {stage.name: self._alone(stage) for stage in self._stages if not only or stage.name in only}

    def encoded_bytes(self) -> float:
        """Return the mean size of the files that `encode` has written for a photo."""
        encoded = self._inputs["store"]
        return sum(len(file.data) for each in encoded for file in each.files) / len(encoded)

    def _alone(self, stage: Stage[Any, Any]) -> dict[str, float]:
        meter = Meter()
        _through(stage, self._jobs * REPEATED, self._inputs[stage.name] * REPEATED, keep=False)
        spent = meter.read()
        photos = len(self._jobs) * REPEATED
        return {role: spent.by_process.get(role, 0.0) / photos for role in STAGE_ROLES}


def _through(stage: Stage[Any, Any], jobs: Sequence[Job], values: Sequence[Any], keep: bool = True) -> list[Any]:
    done: list[Any] = [None] * len(jobs)

    def work(number: int) -> int:
        with stage.slots.acquire():
            made = stage.run(jobs[number], values[number])
        if keep:
            done[number] = made
        return number

    with ThreadPoolExecutor(HELD) as carriers:
        list(carriers.map(work, range(len(jobs))))
    return done


class StreamRunner:
    """Sends photos through the running stack, end to end."""

    def __init__(self, stack: RunningStack, follower: RequestFollower, addresses: Sequence[str], profile: str) -> None:
        self._stack = stack
        self._follower = follower
        self._addresses = addresses
        self._profile = profile
        self._sent = 0

    def warm_up(self) -> None:
        self._run(WARM_UP)

    def run_slice(self, count: int) -> tuple[int, Spent]:
        """Measure about `count` photos among others; return their exact number, since results arrive in groups."""
        counting = _Counting(count, self._stack)
        self._run(count + 2 * EDGE, on_progress=counting)
        return counting.counted, counting.spent

    def run_steady(self, rate: float) -> Batch:
        return self._run(max(20, int(rate * OPEN_LOOP_S)), interval_s=1.0 / rate)

    def _run(self, count: int, **options: Any) -> Batch:
        first, self._sent = self._sent, self._sent + count
        batch = self._follower.follow([self._request(number) for number in range(first, self._sent)], **options)
        _require_all_ok(batch)
        return batch

    def _request(self, number: int) -> Request:
        address = self._addresses[number % len(self._addresses)]
        return Request(id=f"{self._profile}-{number}", image=address, profile=self._profile)


class _Counting:
    """Measures from the result number EDGE until `count` more have arrived."""

    def __init__(self, count: int, stack: RunningStack) -> None:
        self._count = count
        self._stack = stack
        self._meter: Meter | None = None
        self.counted = 0

    def __call__(self, batch: Batch) -> None:
        self._stack.supervisor.check()  # a restart would falsify the figures
        done = len(batch.results)
        if self._meter is None and done >= EDGE:
            self._meter, self._skipped = Meter(), done
        elif self._meter is not None and not self.counted and done >= self._skipped + self._count:
            self.spent, self.counted = self._meter.read(), done - self._skipped


def measure_engine(settings: Settings, profile: str) -> Spent | None:
    """Run ENGINE_IMAGES images through the profile's networks in this process, without Triton; OpenVINO only."""
    if settings.models.engine != "openvino":
        return None
    queues = [_engine(settings, name) for name in networks_of([profile])]
    meter = Meter()
    for queue in queues:
        image = np.random.default_rng(1).integers(0, 256, tuple(queue[0].model_inputs[0].shape), np.uint8)
        for _ in range(ENGINE_IMAGES):
            queue.start_async({0: image})
        queue.wait_all()
    return meter.read()


def _engine(settings: Settings, name: str) -> AsyncInferQueue:
    chosen = json.loads((settings.stack.state / "triton" / "precision" / f"{name}.json").read_text())
    network = settings.stack.model_repository / name / "1" / "model.onnx"
    return AsyncInferQueue(compile_network(network, chosen["precision"], CORES))


def _require_all_ok(batch: Batch) -> None:
    if batch.count("ok") != len(batch.requests) or batch.duplicates:
        failed = next((r.error for r in batch.results.values() if r.error), None)
        raise SystemExit(f"not every photo was cut out exactly once: {failed}, {batch.duplicates} duplicates")


class _PeakMemory:
    """Records the highest resident memory of each process role, sampled twice a second."""

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


def report(
    profile: str, turns: Sequence[Turn], rate: float, steady: Batch, peak: dict[str, int], engine: Spent | None
) -> None:
    count = sum(turn.counted for turn in turns)
    core_ms = {name: statistics.mean(turn.stages[name] for turn in turns) * 1000 for name in turns[0].stages}
    c_ms = sum(core_ms.values())
    bound = CORES / c_ms * 1000
    whole_ms = {
        role: sum(turn.spent.by_process.get(role, 0.0) for turn in turns) / count * 1000
        for role in turns[0].spent.by_process
    }
    _print(
        record(
            "throughput",
            profile=profile,
            photos=count,
            size="1500x1000",
            images_per_second=round(rate, 2),
            bound_images_per_second=round(bound, 2),
            ratio_to_bound=round(rate / bound, 3),
            ratio_of_each_turn=[round(turn.images_per_second / turn.bound, 3) for turn in turns],
            overhead_ms=round(sum(whole_ms.values()) - c_ms, 1),
            stage_core_ms={name: round(ms, 1) for name, ms in core_ms.items()},
            bare_engine_core_ms=round(engine.cpu_s / ENGINE_IMAGES * 1000, 1) if engine else None,
            bare_engine_images_per_second=round(ENGINE_IMAGES / engine.wall_s, 2) if engine else None,
            whole_core_ms=round(sum(whole_ms.values()), 1),
            whole_core_ms_by_process={role: round(ms, 1) for role, ms in whole_ms.items()},
            idle_share_of_machine=round(_idle_share(turns), 3),
            p50_ms=round(steady.latency_ms(0.5), 1),
            p95_ms=round(steady.latency_ms(0.95), 1),
            steady_images_per_second=round(steady.images_per_second, 2),
            others_share_of_machine=round(_share(turns, lambda spent: spent.others_cpu_s), 3),
            peak_rss_mb={role: round(size / 1e6) for role, size in peak.items()},
        )
    )


def _share(turns: Sequence[Turn], seconds: Callable[[Spent], float]) -> float:
    return sum(seconds(turn.spent) for turn in turns) / sum(turn.spent.wall_s for turn in turns) / CORES


def _idle_share(turns: Sequence[Turn]) -> float:
    return max(0.0, 1.0 - _share(turns, lambda spent: spent.cpu_s + spent.others_cpu_s))


def _print(line: dict[str, Any]) -> None:
    table = Table(show_header=False, title=f"profile {line['profile']}, {line['photos']} photos of {line['size']}")
    for name in (
        "images_per_second",
        "bound_images_per_second",
        "ratio_to_bound",
        "ratio_of_each_turn",
        "overhead_ms",
        "p50_ms",
        "p95_ms",
        "stage_core_ms",
        "bare_engine_core_ms",
        "bare_engine_images_per_second",
        "whole_core_ms_by_process",
        "idle_share_of_machine",
        "peak_rss_mb",
        "others_share_of_machine",
    ):
        table.add_row(name, str(line[name]))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
