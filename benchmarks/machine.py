"""Measure CPU time and memory of process trees, and record the results of a benchmark."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Spent:
    """The wall and CPU seconds that a piece of work took.

    `by_process` has the CPU seconds by process role, `others_cpu_s` those of the rest of the machine.
    """

    wall_s: float
    cpu_s: float
    others_cpu_s: float
    by_process: dict[str, float]


class Meter:
    """Measures the CPU seconds of this process and its descendants, by role, from its creation until `read`."""

    def __init__(self) -> None:
        self._before, self._machine, self._began = _cpu_by_pid(), _busy_s(), time.perf_counter()

    def read(self) -> Spent:
        wall_s = time.perf_counter() - self._began
        by_process: dict[str, float] = {}
        for pid, (name, seconds) in _cpu_by_pid().items():
            used = seconds - self._before.get(pid, (name, 0.0))[1]
            by_process[name] = round(by_process.get(name, 0.0) + used, 3)
        cpu_s = sum(by_process.values())
        return Spent(wall_s, cpu_s, max(0.0, _busy_s() - self._machine - cpu_s), by_process)


def rss_bytes(role: str) -> int:
    """Return the resident memory of all processes of a role. Shared pages count in each process."""
    total = 0
    for process in _tree():
        try:
            total += process.memory_info().rss if _process_role(process) == role else 0
        except psutil.NoSuchProcess:
            continue  # it ended after it was listed
    return total


def record(benchmark: str, **figures: Any) -> dict[str, Any]:
    """Append a line with these figures to benchmarks/results/<benchmark>.jsonl and return it."""
    time_now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = {"benchmark": benchmark, "time": time_now, **describe_machine(), **figures}
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{benchmark}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    return line


def read_results(benchmark: str) -> list[dict[str, Any]]:
    """Return the recorded lines of a benchmark, the oldest first."""
    return [json.loads(line) for line in (RESULTS / f"{benchmark}.jsonl").read_text().splitlines()]


def describe_machine() -> dict[str, Any]:
    """Return the commit and the machine, as every record of a measurement names them."""
    return {
        "commit": _git("rev-parse", "--short", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":!results")),
        "machine": {"cpu": _cpu_name(), "cores": CORES, "python": platform.python_version()},
    }


def _tree() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _cpu_by_pid() -> dict[int, tuple[str, float]]:
    seconds = {}
    for process in _tree():
        try:
            times = process.cpu_times()
            seconds[process.pid] = (_process_role(process), times.user + times.system)
        except psutil.NoSuchProcess:
            continue  # it ended after it was listed; benchmarks start and stop no process while they measure
    return seconds


def _busy_s() -> float:
    """Return the CPU seconds that the whole machine has worked, plus those stolen by other virtual machines."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


_ROLES = {  # by a part of the command line
    "kafka.Kafka": "kafka",
    "tritonserver": "triton",
    "triton_python_backend_stub": "triton",
    "decoder_process": "decoders",
    "launch.py consumer": "worker",
    "guard.py": "guards",
}


def role_of(command: Sequence[str]) -> str | None:
    """Return the role of a process of the stack from its command line, or None for any other process."""
    # That of a decoder contains the worker's part, too, so decoders come first.
    line = " ".join(command)
    return next((role for part, role in _ROLES.items() if part in line), None)


def _process_role(process: psutil.Process) -> str:
    return "benchmark" if process.pid == os.getpid() else role_of(process.cmdline()) or process.name()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=RESULTS.parent).stdout.strip()


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
