"""Measure how soon one picture is there: `python -m benchmarks.first_picture`.

`cutstream cut photo.jpg cutout.png` runs as its user starts it: without a stack, which it then starts itself, and with
one that runs. The first is told by its phases, in seconds since the command: each ends when a server's log says so.
Without `--turns`, it runs five times, after once to warm up; the medians count.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console

import consumer
from benchmarks.ending import run
from benchmarks.machine import record, role_of
from benchmarks.photos import make_photos
from commands.serving import render_models
from cutstream.settings import Settings, as_environment, load
from deploy.local.ports import with_free_ports
from deploy.local.running import running_stack

POLL_S = 0.02
CPU_EVERY = 20  # polls: to look at all processes takes 10 ms
TIMEOUT_S = 120.0
LONGEST_MARK = 100
# Name of the phase that ends, log of the run's stack, and the text in it.
MARKS = (
    ("kafka_launched", "kafka.log", ""),
    ("triton_launched", "triton.log", ""),
    ("worker_launched", "worker.log", ""),
    ("kafka_up", "kafka.log", "Kafka Server started"),
    ("triton_up", "triton.log", "Started GRPCInferenceService"),
    ("worker_up", "worker.log", "worker started"),
)


@dataclass
class Turn:
    """One command: seconds since its start until each phase ended, and the CPU seconds, in all and by process.

    Those of a process are looked at twice a second, so that its last moments are missing.
    """

    phases: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--turns", type=int, default=5)
    arguments.add_argument("--only", choices=("starting", "running"), help="measure one of the two")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="cutstream-bench-") as name:
        folder = Path(name)
        photo = _photo(folder)
        settings = with_free_ports(_in_folder(load(), folder / "state"))
        if chosen.only != "running":
            report("without a stack", [one_turn(settings, photo) for _ in range(chosen.turns + 1)][1:])
        if chosen.only != "starting":
            with running_stack(settings, consumer.COMMAND, prepare=render_models):
                turns = [one_turn(settings, photo) for _ in range(chosen.turns + 1)][1:]
            report("with a running stack", turns)
    return 0


def report(stack: str, turns: list[Turn]) -> dict[str, Any]:
    """Record the medians of some turns, and each of the times that count, and print them."""
    line = record(
        "first_picture",
        stack=stack,
        turns=len(turns),
        picture_s=[round(turn.phases["picture"], 2) for turn in turns],
        ended_s=[round(turn.phases["ended"], 2) for turn in turns],
        cpu_s=[round(turn.cpu_s, 2) for turn in turns],
        **summary(turns),
    )
    Console().print_json(data=line)
    return line


def summary(turns: list[Turn]) -> dict[str, Any]:
    """Return the medians: seconds until the end of each phase, in their order, and CPU seconds by process."""
    phases = _medians(turn.phases for turn in turns)
    return {
        "median_picture_s": phases["picture"],
        "phases_s": dict(sorted(phases.items(), key=lambda phase: phase[1])),
        "cpu_by_process": _medians(turn.cpu for turn in turns),
    }


def _medians(measured: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each value. What is missing in a turn counts as none in it."""
    everything = list(measured)
    names = dict.fromkeys(name for each in everything for name in each)
    return {name: round(median(each[name] for each in everything if name in each), 2) for name in names}


def one_turn(settings: Settings, photo: Path) -> Turn:
    """Run the command once and watch it. Raises SystemExit if it makes no picture."""
    target = photo.with_name("cutout.png")
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "commands", "cut", str(photo), str(target)]
    environment = os.environ | as_environment(settings)
    watch = Watch(settings.stack.state, target)
    before = _ended_cpu_s()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        turn = watch.until_ended(psutil.Process(process.pid))
        _, told = process.communicate()
    turn.cpu_s = _ended_cpu_s() - before
    if process.returncode or "picture" not in turn.phases:
        raise SystemExit(f"no picture was made: {told}")
    return turn


class Watch:
    """Sees from outside what a command does: by the logs of the stack in its state folder, and by its processes."""

    def __init__(self, state: Path, target: Path) -> None:
        self._state = state
        self._target = target
        self._turn = Turn()
        self._cpu: dict[int, tuple[str, float]] = {}
        self._read: dict[Path, int] = {}  # how far each log was searched

    def until_ended(self, command: psutil.Process) -> Turn:
        began = time.perf_counter()
        polls = 0
        while command.is_running() and command.status() != psutil.STATUS_ZOMBIE:
            elapsed = time.perf_counter() - began
            if elapsed > TIMEOUT_S:
                command.kill()
                break
            for name in self._reached():
                self._turn.phases.setdefault(name, elapsed)
            if polls % CPU_EVERY == 0:
                self._note_cpu(command)
            polls += 1
            time.sleep(POLL_S)
        self._turn.phases["ended"] = time.perf_counter() - began
        for name, seconds in self._cpu.values():
            self._turn.cpu[name] = self._turn.cpu.get(name, 0.0) + seconds
        return self._turn

    def _reached(self) -> Iterable[str]:
        if "picture" not in self._turn.phases and self._target.exists():
            yield "picture"
        left = [mark for mark in MARKS if mark[0] not in self._turn.phases]
        for logs in self._state.glob("cutstream-run-*/logs") if left else ():
            said = {file: self._news(logs / file) for file in {file for _, file, _ in left}}
            for name, file, text in left:
                if (news := said[file]) is not None and text.encode() in news:
                    yield name

    def _news(self, log: Path) -> bytes | None:
        """Return what a log says since it was last looked at, and the end of what it said before. None: there is none.

        Read whole each time, a broker's log would take the time that is measured.
        """
        try:
            with log.open("rb") as file:
                file.seek(max(0, self._read.get(log, 0) - LONGEST_MARK))
                news = file.read()
                self._read[log] = file.tell()
                return news
        except OSError:  # not there yet, or removed already
            return None

    def _note_cpu(self, command: psutil.Process) -> None:
        """Note what each process has used so far."""
        try:
            processes = [command, *command.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in processes:
            try:
                times = process.cpu_times()
                role = "command" if process.pid == command.pid else role_of(process.cmdline()) or process.name()
                self._cpu[process.pid] = (role, times.user + times.system)
            except psutil.NoSuchProcess:
                continue


def _ended_cpu_s() -> float:
    """Return the CPU seconds of the processes that have ended: the command's, and those of the servers it started."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _photo(folder: Path) -> Path:
    return Path(make_photos(folder / "photos", 1)[0].removeprefix("file://"))


def _in_folder(settings: Settings, state: Path) -> Settings:
    """Return settings with a state folder of their own, and the jars where they are."""
    stack = settings.stack.model_copy(update={"state": state, "jars": settings.stack.jars.absolute()})
    return settings.model_copy(update={"stack": stack})


if __name__ == "__main__":
    sys.exit(run(main))
