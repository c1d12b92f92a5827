"""Measure what exactly-once delivery costs: `python -m benchmarks.delivery`.

Both settings of CUTSTREAM_KAFKA__DELIVERY take turns on one stack, in alternating order, with the same photos. A turn
starts a worker, warms it up, and measures while more requests wait: the results a second, and the CPU time per result
of the whole stack, which suffers less from other programs. Each pair of turns gives two ratios of exactly-once to
at-least-once: of the rates, and of the rates that the CPU time alone would allow. Small photos show the cost best,
because there are more results to commit for each second of work.

Exits with 0 if the ratios show for every size, with twice their standard error, that exactly-once costs at most 10 % of
the throughput. The rates decide, if they can tell; if not, and they are known to 10 %, the CPU time does. Exits with 1
otherwise: what the pairs were too few or too unlike to show counts as not kept.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

from rich.console import Console

import consumer
from benchmarks.ending import run
from benchmarks.machine import Meter, record
from benchmarks.photos import make_photos, photo_settings
from cutstream.clients.kafka import ensure_topics
from cutstream.contract.messages import Request
from deploy.local.running import worker_server
from deploy.local.stack import Stack, local_stack
from deploy.local.state import throwaway
from export.repository.render import render
from producer.following import Batch, RequestFollower

Delivery: TypeAlias = Literal["exactly_once", "at_least_once"]
SIZES = {"1500x1000": (1500, 1000), "160x120": (160, 120)}
COUNTED = {"1500x1000": 300, "160x120": 1200}  # results of a turn
PHOTOS, WARM_UP, EDGE = 40, 60, 40  # EDGE: results that are not counted, at either end of a turn
PAIRS, LEAST_PAIRS = 6, 4  # an even number has both orders equally often
MOST_COST = 0.1


@dataclass(frozen=True)
class Turn:
    """What one turn measured. `others_cores` is how many cores the rest of the machine kept busy."""

    per_second: float
    cpu_ms: float
    others_cores: float


Pair: TypeAlias = dict[Delivery, Turn]


@dataclass(frozen=True)
class Ratio:
    """The mean of the ratios of pairs of turns, and twice its standard error. 1 means that exactly-once is free."""

    mean: float
    error: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Ratio:
        return cls(statistics.mean(ratios), 2 * statistics.stdev(ratios) / math.sqrt(len(ratios)))

    def __str__(self) -> str:
        return f"{self.mean:.1%} ± {self.error:.1%}"


def judge(by_rate: Ratio, by_cpu: Ratio) -> str | None:
    """Return a sentence unless the ratios show that exactly-once costs at most MOST_COST of the throughput."""
    least = 1 - MOST_COST
    for ratio in (by_rate, by_cpu):
        if ratio.mean - ratio.error >= least:
            return None
        if ratio.mean + ratio.error < least:
            return f"it costs more than the {MOST_COST:.0%} promised"
        if ratio.error > MOST_COST:
            break  # the rates may be anything, and the CPU time does not show waiting
    return f"too uncertain to tell whether it costs the {MOST_COST:.0%} promised: take more pairs on an idle machine"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of turns for each size of photos, 4 at least")
    chosen = parser.parse_args()
    if chosen.pairs < LEAST_PAIRS:
        parser.error(f"--pairs {chosen.pairs}: fewer than {LEAST_PAIRS} pairs do not show how much they differ")
    with TemporaryDirectory() as folder, throwaway(photo_settings(Path(folder))) as settings:
        render(settings)
        with local_stack(settings) as stack:
            ensure_topics(stack.settings.kafka)
            photos = {size: make_photos(Path(folder) / size, PHOTOS, pixels) for size, pixels in SIZES.items()}
            measured = {
                size: [_pair(stack, photos[size], size, number) for number in range(chosen.pairs)] for size in SIZES
            }
    kept = [_report(size, pairs) for size, pairs in measured.items()]
    return 0 if all(kept) else 1


def _pair(stack: Stack, photos: Sequence[str], size: str, number: int) -> Pair:
    order: list[Delivery] = ["exactly_once", "at_least_once"]
    if number % 2:
        order.reverse()
    pair: Pair = {}
    for delivery in order:
        pair[delivery] = _turn(stack, delivery, photos, COUNTED[size])
        Console(stderr=True).print(f"{size}, pair {number + 1}, {delivery}: {pair[delivery].per_second:.1f} a second")
    return pair


def _turn(stack: Stack, delivery: Delivery, photos: Sequence[str], counted: int) -> Turn:
    """Measure a new worker."""
    settings = stack.settings.model_copy(
        update={"kafka": stack.settings.kafka.model_copy(update={"delivery": delivery})}
    )
    server = worker_server(settings, consumer.COMMAND)
    stack.supervisor.start(server)
    try:
        with RequestFollower(settings.kafka) as follower:
            _check(follower.follow(_requests(photos, WARM_UP)), delivery)
            watch = TurnWatch(EDGE, EDGE + counted)
            _check(follower.follow(_requests(photos, counted + 2 * EDGE), on_progress=watch), delivery)
            return watch.turn
    finally:
        stack.supervisor.stop(server.name)


def _check(batch: Batch, delivery: Delivery) -> None:
    bad = [result for result in batch.results.values() if result.status != "ok"]
    if bad:
        raise SystemExit(f"{len(bad)} photos were not cut out, the first because of {bad[0].error}")
    if batch.duplicates and delivery == "exactly_once":
        raise SystemExit(f"{batch.duplicates} results arrived twice with exactly_once")


class TurnWatch:
    """Measures from the first look at which `first` results are there to the first one at which `last` are."""

    def __init__(self, first: int, last: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._first, self._last, self._clock = first, last, clock
        self._began: tuple[int, float, Meter] | None = None
        self._turn: Turn | None = None

    def __call__(self, batch: Batch) -> None:
        done, now = len(batch.results), self._clock()
        if self._began is None:
            if done >= self._first:
                self._began = done, now, Meter()
        elif self._turn is None and done >= self._last:
            before, began, meter = self._began
            spent = meter.read()
            results = done - before
            self._turn = Turn(results / (now - began), spent.cpu_s / results * 1e3, spent.others_cpu_s / spent.wall_s)

    @property
    def turn(self) -> Turn:
        assert self._turn, "there were not as many results as announced"
        return self._turn


_numbers = count()


def _requests(photos: Sequence[str], wanted: int) -> list[Request]:
    return [Request(id=f"photo-{next(_numbers)}", image=photos[n % len(photos)]) for n in range(wanted)]


def _report(size: str, pairs: Sequence[Pair]) -> bool:
    """Record and print what was measured. Tell whether it shows that the promise was kept."""
    once, least = ([pair[delivery] for pair in pairs] for delivery in ("exactly_once", "at_least_once"))
    ratios = [a.per_second / b.per_second for a, b in zip(once, least, strict=True)]
    cpu_ratios = [b.cpu_ms / a.cpu_ms for a, b in zip(once, least, strict=True)]
    by_rate, by_cpu = Ratio.of(ratios), Ratio.of(cpu_ratios)
    problem = judge(by_rate, by_cpu)
    line = record(
        "delivery",
        size=size,
        counted=COUNTED[size],
        exactly_once_per_second=[round(turn.per_second, 2) for turn in once],
        at_least_once_per_second=[round(turn.per_second, 2) for turn in least],
        ratios=[round(ratio, 3) for ratio in ratios],
        ratio=round(by_rate.mean, 3),
        ratio_error=round(by_rate.error, 3),
        exactly_once_cpu_ms=[round(turn.cpu_ms, 2) for turn in once],
        at_least_once_cpu_ms=[round(turn.cpu_ms, 2) for turn in least],
        cpu_ratios=[round(ratio, 3) for ratio in cpu_ratios],
        cpu_ratio=round(by_cpu.mean, 3),
        cpu_ratio_error=round(by_cpu.error, 3),
        problem=problem,
        others_cores=round(statistics.mean(turn.others_cores for turn in (*once, *least)), 2),
    )
    console = Console()
    console.print_json(data=line)
    verdict = problem or f"it costs at most the {MOST_COST:.0%} promised"
    console.print(f"{size}: exactly_once reaches {by_rate} of the rate, by CPU time {by_cpu}: {verdict}")
    return problem is None


if __name__ == "__main__":
    sys.exit(run(main))
