"""One worker under load without faults, for the soak and the overload run."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from benchmarks.machine import describe_machine
from tests.e2e.chaos.observer import Observer
from tests.e2e.chaos.sender import Sender
from tests.e2e.chaos.stack import ChaosStack, chaos_stack
from tests.e2e.chaos.workload import Planned
from tests.support.workers import WorkerProcess

STATE = Path(__file__).parents[3] / ".state"
STALL_S = 60.0
FULL_SPEED = 2000.0
PHOTOS = 24


@dataclass
class Load:
    """A running stack with one worker. `close` ends the clients, not the stack."""

    stack: ChaosStack
    worker: WorkerProcess
    observer: Observer
    sender: Sender
    out: Path
    clients: ExitStack

    def send_all(self, requests: Sequence[Planned], rate: float = FULL_SPEED) -> list[str]:
        """Send the requests and wait for all results. Return a sentence if none comes for STALL_S."""
        self.sender.rate = rate
        self.sender.add(requests)
        return self.await_results()

    def await_results(self) -> list[str]:
        def nothing() -> None: ...

        self.observer.wait(lambda: self.sender.left == 0, 36_000)
        if self.observer.wait_done(lambda: self.sender.sent, STALL_S, nothing):
            return []
        return [f"{self.sender.sent - self.observer.done} requests without a result, none for {STALL_S:g} s"]

    def close(self) -> None:
        self.clients.close()


def arguments(description: str | None, name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m tests.e2e.chaos.{name}", description=description)
    parser.add_argument("--out", type=Path, default=Path("out") / name, help="folder of the report and the logs")
    return parser


@contextmanager
def loaded_worker(requests: int, out: Path) -> Iterator[Load]:
    """Start the stack and one worker, with room for this many requests. Keep the logs in `out`."""
    STATE.mkdir(exist_ok=True)
    folder = Path(mkdtemp(prefix="load-", dir=STATE))
    out.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as parts, chaos_stack(folder, requests, PHOTOS, STATE / "tools", STATE / "jars") as stack:
            worker = stack.start_worker("worker-0").wait_ready()
            clients = parts.enter_context(ExitStack())
            observer = clients.enter_context(Observer(stack.settings.kafka))
            sender = clients.enter_context(Sender(stack.settings.kafka))
            yield Load(stack, worker, observer, sender, out, clients)
    finally:
        for logs in (folder / "logs", folder / "state" / "logs"):
            shutil.copytree(logs, out / "logs", dirs_exist_ok=True)
        shutil.rmtree(folder)


def report(
    name: str, out: Path, figures: dict[str, Any], problems: Sequence[str], samples: Sequence[dict[str, float]]
) -> int:
    """Write and print the report. Return the exit status."""
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = {"benchmark": name, "time": time, **describe_machine(), **figures, "problems": list(problems)}
    (out / f"{name}.json").write_text(json.dumps(line, indent=1) + "\n")
    (out / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    sys.stdout.write(json.dumps(line, indent=1) + "\n")
    return 1 if problems else 0
