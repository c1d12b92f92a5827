"""Streamed throughput against this machine's own bound: `make bench`.

(a) Each stage alone, with the worker's own code and concurrency: core-seconds per photo of everything that works for
    it. Their sum c gives the bound: cores / c.
(b) The whole way, Kafka to objects to Kafka: 100 photos to warm up, then 200 counted; then a fixed rate of 70 % of
    what was reached, for latencies that do not measure the queue.
(c) The bare engine without Triton, for orientation.

(a) and (b) take turns in short slices, a b b a a b b a a b, because the speed of a shared machine drifts: between two
moments by more than the difference that is measured. Each turn gives a ratio of its own, and their spread says how far
the result may be trusted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from openvino import AsyncInferQueue
from rich.console import Console
from rich.table import Table

import consumer
from benchmarks import photos
from benchmarks.machine import CORES, Meter, Spent, record, rss_bytes
from consumer.app import PipelineRuntime
from consumer.jobs import Job
from consumer.resources.allocator import keep_freed_memory
from consumer.runner import Stage
from cutstream.clients.kafka import Partition, Record
from cutstream.clock import SystemClock
from cutstream.contract.messages import Request
from cutstream.metrics import Metrics
from cutstream.settings import ObjectSettings, Settings, load
from deploy.local.running import RunningStack, running_stack, throwaway
from deploy.triton.backends.precision import compile_network
from export.profiles import networks_of
from export.repository.render import render
from producer.following import Batch, Submission

WARM_UP, COUNTED = 100, 200
TURNS, HELD, REPEATED = 5, 16, 2
EDGE = 48  # photos before and after a slice's counted ones: a window and a half, in which the machine fills and empties
OPEN_LOOP_SHARE, OPEN_LOOP_S = 0.7, 20.0
ENGINE = 64
RECORD = Record(Partition("benchmark", 0), 0, 0, None, b"", [])
WORKING = ("benchmark", "decoders", "triton")  # for a stage alone; the idle broker and worker beside it do not


@dataclass(frozen=True)
class Turn:
    """One slice of each kind: the stages' core-seconds per photo, and what `counted` photos of the whole way cost."""

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
    arguments.add_argument("--profiles", default="", help="comma-separated; all served ones if not given")
    chosen = arguments.parse_args()
    keep_freed_memory()
    with (
        tempfile.TemporaryDirectory(prefix="cutstream-bench-") as folder,
        throwaway(_settings(Path(folder))) as settings,
    ):
        addresses = photos.make(Path(folder) / "photos", 40)
        render(settings)
        with running_stack(settings, consumer.COMMAND) as stack:
            for profile in chosen.profiles.split(",") if chosen.profiles else settings.models.profiles:
                measure(stack, addresses, profile, chosen.photos)


def measure(stack: RunningStack, addresses: Sequence[str], profile: str, count: int) -> None:
    with Submission(stack.settings.kafka) as submission, Staged(stack.settings, addresses, profile) as staged:
        whole = Whole(stack, submission, addresses, profile)
        with _watched_memory() as peak:
            whole.warm_up()
            turns = [_turn(staged, whole, -(-count // TURNS), number % 2 == 1) for number in range(TURNS)]
            rate = sum(turn.counted for turn in turns) / sum(turn.spent.wall_s for turn in turns)
            steady = whole.steady(rate * OPEN_LOOP_SHARE)
    report(profile, turns, rate, steady, peak, measure_engine(stack.settings, profile))


def _turn(staged: Staged, whole: Whole, count: int, whole_first: bool) -> Turn:
    if whole_first:
        counted, spent = whole.slice(count)
        return Turn(staged.slice(), counted, spent)
    stages = staged.slice()
    return Turn(stages, *whole.slice(count))


class Staged:
    """The worker's stages in this process, each to be run alone on what the one before made of HELD photos.

    What a run makes is dropped at once, as in the worker: results that pile up would cost fresh pages every time.
    """

    def __init__(self, settings: Settings, addresses: Sequence[str], profile: str) -> None:
        self._workshop = PipelineRuntime(settings, Metrics(), SystemClock())
        self._jobs = [
            Job(record=RECORD, request=Request(image=address), id=f"staged-{n}", profile=profile)
            for n, address in enumerate(addresses[:HELD])
        ]
        self._inputs: dict[str, list[Any]] = {}

    def __enter__(self) -> Staged:
        self._workshop.start()
        values: list[Any] = [job.request for job in self._jobs]
        for stage in self._workshop.stages:
            self._inputs[stage.name] = values
            values = _through(stage, self._jobs, values)  # also warms buffers and caches
        return self

    def __exit__(self, *exc: object) -> None:
        self._workshop.close()

    def slice(self) -> dict[str, float]:
        """Core-seconds per photo of each stage."""
        return {stage.name: self._alone(stage) for stage in self._workshop.stages}

    def _alone(self, stage: Stage) -> float:
        meter = Meter()
        _through(stage, self._jobs * REPEATED, self._inputs[stage.name] * REPEATED, keep=False)
        spent = meter.read()
        return sum(spent.by_process.get(role, 0.0) for role in WORKING) / (HELD * REPEATED)


def _through(stage: Stage, jobs: Sequence[Job], values: Sequence[Any], keep: bool = True) -> list[Any]:
    done: list[Any] = [None] * len(jobs)

    def work(number: int) -> int:
        with (
            stage.slots.acquire(),
            ExitStack() as lease,
        ):  # of this run: the job's own would add up over the repetitions
            made = stage.run(replace(jobs[number], lease=lease), values[number])
        if keep:
            done[number] = made
        return number

    with ThreadPoolExecutor(HELD) as carriers:
        list(carriers.map(work, range(len(jobs))))
    return done


class Whole:
    """The whole way through the running stack."""

    def __init__(self, stack: RunningStack, submission: Submission, addresses: Sequence[str], profile: str) -> None:
        self._stack = stack
        self._submission = submission
        self._addresses = addresses
        self._profile = profile
        self._sent = 0

    def warm_up(self) -> None:
        self._run(WARM_UP)

    def slice(self, count: int) -> tuple[int, Spent]:
        """About `count` photos in the midst of others: results come in handfuls, so it says how many they were."""
        counting = _Counting(count, self._stack)
        self._run(count + 2 * EDGE, watch=counting)
        return counting.counted, counting.spent

    def steady(self, rate: float) -> Batch:
        return self._run(max(20, int(rate * OPEN_LOOP_S)), interval_s=1.0 / rate)

    def _run(self, count: int, **how: Any) -> Batch:
        first, self._sent = self._sent, self._sent + count
        batch = self._submission.run([self._request(number) for number in range(first, self._sent)], **how)
        _all_ok(batch)
        return batch

    def _request(self, number: int) -> Request:
        address = self._addresses[number % len(self._addresses)]
        return Request(id=f"{self._profile}-{number}", image=address, profile=self._profile)


class _Counting:
    """Meters from the EDGEth result to the one after `count` more."""

    def __init__(self, count: int, stack: RunningStack) -> None:
        self._count = count
        self._stack = stack
        self._meter: Meter | None = None
        self.counted = 0

    def __call__(self, batch: Batch) -> None:
        self._stack.check()
        done = len(batch.results)
        if self._meter is None and done >= EDGE:
            self._meter, self._skipped = Meter(), done
        elif self._meter is not None and not self.counted and done >= self._skipped + self._count:
            self.spent, self.counted = self._meter.read(), done - self._skipped


def measure_engine(settings: Settings, profile: str) -> Spent | None:
    """ENGINE pictures through the profile's networks in this process, without Triton; OpenVINO only."""
    if settings.models.engine != "openvino":
        return None
    queues = [_engine(settings, name) for name in networks_of([profile])]
    meter = Meter()
    for queue in queues:
        picture = np.random.default_rng(1).integers(0, 256, tuple(queue[0].model_inputs[0].shape), np.uint8)
        for _ in range(ENGINE):
            queue.start_async({0: picture})
        queue.wait_all()
    return meter.read()


def _engine(settings: Settings, name: str) -> AsyncInferQueue:
    verdict = json.loads((settings.stack.state / "triton" / "precision" / f"{name}.json").read_text())
    network = settings.stack.model_repository / name / "1" / "model.onnx"
    return AsyncInferQueue(compile_network(network, verdict["precision"], CORES))


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
            bare_engine_core_ms=round(engine.cpu_s / ENGINE * 1000, 1) if engine else None,
            bare_engine_images_per_second=round(ENGINE / engine.wall_s, 2) if engine else None,
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


def _settings(folder: Path) -> Settings:
    settings = load()
    objects = ObjectSettings(destination=(folder / "out").as_uri(), file_roots=(folder,))
    return settings.model_copy(update={"objects": objects})


if __name__ == "__main__":
    main()
