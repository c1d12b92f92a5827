"""What a measurement needs of the machine: CPU seconds and memory of process trees, and its record."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Spent:
    """Wall and CPU seconds of a stretch of work; CPU by process name, and what the rest of the machine took."""

    wall_s: float
    cpu_s: float
    others_cpu_s: float
    by_process: dict[str, float]


class Meter:
    """CPU seconds of this process and everything below it, by what they are, from now until `read`."""

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


def rss_bytes(name: str) -> int:
    """Resident memory of all processes of that role, shared pages counted in each."""
    total = 0
    for process in _tree():
        try:
            total += process.memory_info().rss if _role(process) == name else 0
        except psutil.NoSuchProcess:
            continue  # it ended between being listed and being asked
    return total


def record(benchmark: str, **figures: Any) -> dict[str, Any]:
    """Appends one line to benchmarks/results/<benchmark>.jsonl and returns it."""
    line = {
        "benchmark": benchmark,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":!results")),
        "machine": {"cpu": _cpu_name(), "cores": CORES, "python": platform.python_version()},
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{benchmark}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    return line


def _tree() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _cpu_by_pid() -> dict[int, tuple[str, float]]:
    found = {}
    for process in _tree():
        try:
            times = process.cpu_times()
            found[process.pid] = (_role(process), times.user + times.system)
        except psutil.NoSuchProcess:
            continue  # it ended between being listed and being asked; benchmarks start and stop none while they measure
    return found


def _busy_s() -> float:
    """CPU seconds the whole machine has worked, or was kept from working by its neighbours (steal)."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


_ROLES = {
    "kafka.Kafka": "kafka",
    "tritonserver": "triton",
    "triton_python_backend_stub": "triton",
    "-m consumer": "worker",
    "decoder_process": "decoders",
    "guard.py": "guards",
}


def _role(process: psutil.Process) -> str:
    if process.pid == os.getpid():
        return "benchmark"
    command = " ".join(process.cmdline())
    # Guards name the server they guard nowhere on their command line, so the order of the table does not matter.
    return next((role for part, role in _ROLES.items() if part in command), process.name())


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=RESULTS.parent).stdout.strip()


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
