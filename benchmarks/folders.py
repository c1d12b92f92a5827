"""Measure folders of photos: `python -m benchmarks.folders`.

`cutstream cut` takes turns with the stream's own throughput, on one stack and the same photos; the ratio says what
names, the ledger and the moving of outputs cost. The command is a process of its own, as its user starts it. Its rate
counts from its first photo sent to its last one saved; `command_s` is the whole command's time.

With `--names`, so many addresses go to a Kafka without a worker, and the sender's memory and rate are measured.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import psutil
from rich.console import Console

import consumer
from benchmarks.machine import record
from benchmarks.photos import make_photos, photo_settings
from cutstream.clients.kafka import ensure_topics
from cutstream.contract.messages import Request
from cutstream.settings import Settings, TritonSettings, as_environment
from deploy.local.ports import with_free_ports
from deploy.local.running import RunningStack, running_stack
from deploy.local.stack import local_stack
from deploy.local.state import throwaway
from export.repository.render import render
from producer.folders.running import run
from producer.folders.work import Report, Stream, Tally, Work
from producer.following import RequestFollower

SAMPLES = 40  # different photos, which are linked until there are enough
WARM_UP = 32


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--photos", type=int, default=500)
    arguments.add_argument("--turns", type=int, default=4)
    arguments.add_argument("--names", type=int, help="measure so many addresses instead")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="cutstream-bench-") as folder:
        settings = with_free_ports(photo_settings(Path(folder)))
        with throwaway(settings) as own:
            if chosen.names:
                measure_names(own, chosen.names)
            else:
                measure_cut(own, Path(folder), chosen.photos, chosen.turns)


def measure_cut(settings: Settings, folder: Path, count: int, turns: int) -> None:
    made = make_photos(folder / "made", SAMPLES)
    photos = folder / "photos"
    link_photos(made, photos, count)
    addresses = [path.as_uri() for path in sorted(photos.iterdir())]
    render(settings)
    with running_stack(settings, consumer.COMMAND) as stack, RequestFollower(stack.settings.kafka) as follower:
        _stream(follower, "warm-up", list(islice(cycle(addresses), WARM_UP)))
        streams, cuts, commands, cpu = [], [], [], []
        for turn in range(turns):
            for is_cut in (turn % 2 == 1, turn % 2 == 0):
                if is_cut:
                    before = _children_cpu_s()
                    rate, command_s = cut_folder(stack, photos, folder / f"cutouts-{turn}", count)
                    cuts.append(rate)
                    commands.append(command_s)
                    cpu.append(_children_cpu_s() - before)
                else:
                    streams.append(_stream(follower, f"turn-{turn}", addresses))
    line = record(
        "folders",
        photos=count,
        size="1500x1000",
        stream_images_per_second=[round(rate, 2) for rate in streams],
        cut_images_per_second=[round(rate, 2) for rate in cuts],
        ratio_of_medians=round(median(cuts) / median(streams), 3),
        command_s=[round(seconds, 1) for seconds in commands],
        command_cpu_s=[round(seconds, 1) for seconds in cpu],
    )
    Console().print_json(data=line)


def _stream(follower: RequestFollower, name: str, addresses: list[str]) -> float:
    """Return the images per second of the stream alone."""
    batch = follower.follow([Request(id=f"{name}-{n}", image=image) for n, image in enumerate(addresses)])
    if batch.count("ok") != len(addresses):
        raise SystemExit("not every photo was cut out")
    return batch.images_per_second


def link_photos(made: Sequence[str], folder: Path, count: int) -> None:
    """Make a folder of `count` photos with names as people give them, which are links to those that were made."""
    folder.mkdir()
    for number, address in zip(range(count), cycle(made), strict=False):
        os.link(address.removeprefix("file://"), folder / f"рис. {number:05} (1).jpg")


def cut_folder(stack: RunningStack, photos: Path, out: Path, count: int, *options: str) -> tuple[float, float]:
    """Run the command. Return its images per second from the first photo on, and its seconds in all."""
    began = time.perf_counter()
    environment = os.environ | as_environment(stack.settings)
    # The local stack is found by its note, as by every command in another terminal.
    for name in [name for name in environment if name.startswith(("CUTSTREAM_KAFKA__", "CUTSTREAM_TRITON__"))]:
        del environment[name]
    command = [sys.executable, "-m", "commands", "cut", *options, str(photos), str(out)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    if done.returncode or len(list(out.glob("*.png"))) != count:
        raise SystemExit(f"not every photo was cut out: {done.stderr}")
    said = next(line for line in done.stderr.splitlines() if "img/s" in line and " done in " in line)
    return float(said.rpartition(", ")[2].partition(" ")[0]), time.perf_counter() - began


def _children_cpu_s() -> float:
    """Return the CPU seconds of the processes that have ended: the commands, for the stack goes on."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measure_names(settings: Settings, count: int) -> None:
    without_triton = settings.model_copy(update={"triton": TritonSettings(url="127.0.0.1:9")})
    process, samples = psutil.Process(), []

    def note(tally: Tally) -> None:
        if not samples or tally.total >= samples[-1][0] * 2 + 1000:
            samples.append((tally.total, process.memory_info().rss, tally.seconds))

    with local_stack(without_triton) as stack:
        ensure_topics(stack.settings.kafka)
        work = Work(
            arguments=["-"],
            fields={"outputs": ["cutout"]},
            wait=False,
            in_flight=10**9,
            anyway=True,
            lines=_lines(count),
        )
        report = Report(print, note)
        began = time.perf_counter()
        run(work, Stream(stack.settings, stack.settings.objects), report, lambda ledger: None)
        seconds = time.perf_counter() - began
        (ledger,) = (stack.settings.stack.state / "ledgers").glob("*.db")
        line = record(
            "names",
            names=count,
            names_per_second=round(count / seconds),
            rss_mb={f"{total:,}": round(rss / 1e6) for total, rss, _ in samples},
            peak_rss_mb=round(process.memory_info().rss / 1e6),
            ledger_mb=round(ledger.stat().st_size / 1e6),
        )
    Console().print_json(data=line)


def _lines(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"s3://photos/{number // 1000:04}/shoe number {number:07}.jpg\n"


if __name__ == "__main__":
    main()
