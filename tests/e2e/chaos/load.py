"""One worker under load without faults, for the soak and the overload run."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.machine import Meter, Spent, describe_machine
from tests.e2e.chaos.folder import JARS, TOOLS, run_folder
from tests.e2e.chaos.observer import Observer
from tests.e2e.chaos.report import versions
from tests.e2e.chaos.sampling import Figures
from tests.e2e.chaos.sender import Sender
from tests.e2e.chaos.stack import MEMORY_BYTES, ChaosStack, chaos_stack
from tests.e2e.chaos.workload import CROP, Planned
from tests.support.workers import WorkerProcess

STALL_S = 60.0
TICK_S = 0.05
FULL_SPEED = 2000.0
PHOTOS = 24
MOST_PROBLEMS = 50  # in the report
SAMPLES = "samples.jsonl"


@dataclass
class Load:
    """A running stack with one worker. `close` ends the clients, not the stack.

    `meter` measures the whole machine. Read it while the worker lives: it does not see processes that have ended.
    """

    stack: ChaosStack
    worker: WorkerProcess
    observer: Observer
    sender: Sender
    out: Path
    clients: ExitStack
    meter: Meter = field(default_factory=Meter)

    def send_all(self, requests: Sequence[Planned], rate: float = FULL_SPEED) -> list[str]:
        """Send the requests and wait for all results. Return a sentence if something prevents that."""
        self.sender.rate = rate
        self.sender.add(requests)
        return self.await_results()

    def await_results(self) -> list[str]:
        """Wait until everything that was added has its result. Return a sentence if something prevents that."""
        moved_s, before = time.monotonic(), self.backlog
        while (left := self.backlog) > 0:
            if left != before:
                moved_s, before = time.monotonic(), left
            if time.monotonic() - moved_s > STALL_S:
                return [f"{left} requests without a result, none for {STALL_S:g} s"]
            if self.sender.failures:
                return [f"not sent: {self.sender.failures[0]}"]
            if (code := self.worker.process.poll()) is not None:
                return [f"the worker ended with {code}:\n{self.worker.tail(15)}"]
            time.sleep(TICK_S)
        return []

    @property
    def backlog(self) -> int:
        """The number of requests that were added and have no result."""
        return self.sender.added - self.observer.done

    def close(self) -> None:
        self.clients.close()


def arguments(description: str | None, name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m tests.e2e.chaos.{name}", description=description)
    parser.add_argument("--out", type=Path, default=Path("out") / name, help="folder of the report and the logs")
    return parser


@contextmanager
def loaded_worker(
    name: str, requests: int, out: Path, photo_size: tuple[int, int] = CROP, memory_bytes: int = MEMORY_BYTES
) -> Iterator[Load]:
    """Start the stack and one worker, with room for this many requests. Keep the logs of the run `name` in `out`.

    `photo_size` is the width and height of the photos in pixels, `memory_bytes` the worker's budget for them.
    """
    with (
        run_folder(name, out, (f"{name}.json", SAMPLES)) as folder,
        chaos_stack(folder, requests, PHOTOS, TOOLS, JARS, photo_size, memory_bytes) as stack,
        ExitStack() as clients,  # ends before the stack
    ):
        worker = stack.start_worker("worker-0").wait_ready()
        observer = clients.enter_context(Observer(stack.settings.kafka))
        sender = clients.enter_context(Sender(stack.settings.kafka))
        yield Load(stack, worker, observer, sender, out, clients)


def report(
    name: str, load: Load, spent: Spent, figures: dict[str, Any], problems: Sequence[str], samples: Sequence[Figures]
) -> int:
    """Write and print the report: what was measured, how, and on what machine. Return the exit status.

    `others_cores` is how many cores all other programs of the machine kept busy in the time of `spent`.
    """
    line = {
        "benchmark": name,
        "command": shlex.join(sys.orig_argv),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **describe_machine(),
        "versions": versions(),
        "others_cores": round(spent.others_cpu_s / spent.wall_s, 2),
        "not_there": load.stack.missing,
        **figures,
        "problem_count": len(problems),
        "problems": list(problems[:MOST_PROBLEMS]),
    }
    (load.out / f"{name}.json").write_text(json.dumps(line, indent=1, ensure_ascii=False) + "\n")
    (load.out / SAMPLES).write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    sys.stdout.write(json.dumps(line, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(f"{name}: {f'{len(problems)} problems' if problems else 'every promise was kept'}\n")
    return 1 if problems else 0
