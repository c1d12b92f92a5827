"""Measure what the worker's metrics cost: `python -m benchmarks.metrics_cost`.

One worker has its metrics on and off in turns of a few seconds, in alternating order, while more requests wait. What
they cost is far less than two turns differ by chance. So everything is done many times while they are on
(`benchmarks.switched_worker.TIMES`): each count and observation, and the scrapes, which Prometheus asks for every 15 s.
The difference, divided by that number, is the cost.

Each pair of turns gives two ratios: of the results a second, and of the rates that the worker's CPU time alone would
allow, which suffers less from other programs. Exits with 0 if the costs from both, with twice their standard error, are
at most 1 % of the throughput.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console

from benchmarks.delivery import Ratio
from benchmarks.ending import run
from benchmarks.machine import record
from benchmarks.photos import make_photos, photo_settings
from benchmarks.switched_worker import TIMES
from cutstream.clients.kafka import ensure_topics
from cutstream.contract.messages import Request
from cutstream.launch import python_command
from deploy.local.running import worker_server
from deploy.local.stack import local_stack
from deploy.local.state import throwaway
from export.repository.render import render
from producer.following import Batch, RequestFollower

COMMAND = python_command("benchmarks.switched_worker")
PAIRS, TURN_S, SETTLE_S = 20, 8.0, 0.5
SCRAPE_S = 15.0 / TIMES
COMMIT_S = 0.05  # results come one by one: in lumps they would not show when a turn began and ended
MOST_COST = 0.01
PHOTOS, WARM_UP, IN_FLIGHT = 40, 100, 80


@dataclass(frozen=True)
class Turn:
    per_second: float
    cpu_ms: float
    """CPU time of the worker process for each result."""


class Done(Exception):
    """All turns are measured."""


class Turns:
    """Switches the metrics and measures, called several times a second with the results so far."""

    def __init__(
        self, pairs: int, switch: Callable[[], None], scrape: Callable[[], object], cpu_s: Callable[[], float]
    ):
        self.measured: dict[bool, list[Turn]] = {True: [], False: []}
        self._order = [on for number in range(pairs) for on in ((True, False) if number % 2 else (False, True))]
        self._switch, self._scrape, self._cpu_s = switch, scrape, cpu_s
        self._on = True
        self._turn_since = self._scraped = time.monotonic()
        self._began: tuple[float, int, float] | None = None

    def __call__(self, batch: Batch) -> None:
        now = time.monotonic()
        if len(batch.results) < WARM_UP:
            return
        if self._began is None:
            self._begin(now, batch)
        elif now - self._began[0] >= TURN_S:
            self._end(now, batch)
        if self._on and now - self._scraped >= SCRAPE_S:
            self._scraped = now
            self._scrape()

    def _begin(self, now: float, batch: Batch) -> None:
        on = self._order[0]
        if on != self._on:
            self._switch()
            self._on, self._turn_since = on, now
        if now - self._turn_since >= SETTLE_S:
            self._began = now, len(batch.results), self._cpu_s()

    def _end(self, now: float, batch: Batch) -> None:
        assert self._began
        began_s, before, cpu_s = self._began
        results = len(batch.results) - before
        turn = Turn(results / (now - began_s), (self._cpu_s() - cpu_s) / results * 1e3)
        self.measured[self._order.pop(0)].append(turn)
        self._began, self._turn_since = None, now
        if not self._order:
            raise Done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of turns")
    pairs: int = parser.parse_args().pairs
    with TemporaryDirectory() as folder, throwaway(photo_settings(Path(folder))) as settings:
        render(settings)
        worker = settings.worker.model_copy(update={"commit_interval_s": COMMIT_S})
        with local_stack(settings.model_copy(update={"worker": worker})) as stack:
            ensure_topics(stack.settings.kafka)
            photos = make_photos(Path(folder) / "photos", PHOTOS)
            server = worker_server(stack.settings, COMMAND)
            stack.supervisor.start(server)
            (process,) = _workers(psutil.Process())
            address = f"http://127.0.0.1:{stack.settings.worker.port}/metrics"
            turns = Turns(
                pairs,
                lambda: process.send_signal(signal.SIGUSR1),
                lambda: urllib.request.urlopen(address, timeout=5).read(),
                lambda: _cpu_s(process),
            )
            try:
                with RequestFollower(stack.settings.kafka) as follower:
                    follower.follow(_requests(photos, 100_000), max_in_flight=IN_FLIGHT, on_progress=turns)
            except Done:
                pass
            stack.supervisor.stop(server.name)
    return _report(turns.measured)


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children(recursive=True) if child.cmdline()[1:] == list(COMMAND[1:])]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


_numbers = count()


def _requests(photos: Sequence[str], wanted: int) -> list[Request]:
    return [Request(id=f"photo-{next(_numbers)}", image=photos[n % len(photos)]) for n in range(wanted)]


def cost_of(ratios: Sequence[float]) -> Ratio:
    """Return the share of the throughput that the metrics cost when everything is done once, not TIMES times.

    ratios: of the rates with metrics, TIMES times, to those without. The time of a photo grows with what is done, so
    it is the inverse that divides.
    """
    return Ratio.of([(1 / ratio - 1) / TIMES for ratio in ratios])


def _report(measured: dict[bool, list[Turn]]) -> int:
    on, off = measured[True], measured[False]
    by_rate = cost_of([a.per_second / b.per_second for a, b in zip(on, off, strict=True)])
    by_cpu = cost_of([b.cpu_ms / a.cpu_ms for a, b in zip(on, off, strict=True)])
    kept = max(cost.mean + cost.error for cost in (by_rate, by_cpu)) <= MOST_COST
    line = record(
        "metrics_cost",
        pairs=len(on),
        times=TIMES,
        on_per_second=round(statistics.mean(turn.per_second for turn in on), 2),
        off_per_second=round(statistics.mean(turn.per_second for turn in off), 2),
        cost=round(by_rate.mean, 5),
        cost_error=round(by_rate.error, 5),
        on_cpu_ms=round(statistics.mean(turn.cpu_ms for turn in on), 3),
        off_cpu_ms=round(statistics.mean(turn.cpu_ms for turn in off), 3),
        cpu_cost=round(by_cpu.mean, 5),
        cpu_cost_error=round(by_cpu.error, 5),
        kept=kept,
    )
    console = Console()
    console.print_json(data=line)
    verdict = f"at most {MOST_COST:.0%}" if kept else f"more than {MOST_COST:.0%}, or too uncertain to tell"
    console.print(
        f"the metrics cost {by_rate.mean:.2%} ± {by_rate.error:.2%} of the throughput, "
        f"by the worker's CPU time {by_cpu.mean:.2%} ± {by_cpu.error:.2%}: {verdict}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(run(main))
