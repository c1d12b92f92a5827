"""Measure what exactly-once delivery costs: `python -m benchmarks.delivery`.

Both settings of CUTSTREAM_KAFKA__DELIVERY take turns on one stack, in alternating order, with the same photos. A turn
starts a worker, warms it up, and measures the results a second while more requests wait. Each pair of turns gives a
ratio. Small photos show the cost best, because there are more results to commit for each second of work.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

from rich.console import Console

import consumer
from benchmarks.machine import record
from benchmarks.photos import make_photos, photo_settings
from cutstream.clients.kafka import ensure_topics
from cutstream.contract.messages import Request
from deploy.local.running import throwaway, worker_server
from deploy.local.stack import Stack, local_stack
from export.repository.render import render
from producer.following import Batch, RequestFollower

Delivery: TypeAlias = Literal["exactly_once", "at_least_once"]
SIZES = {"1500x1000": (1500, 1000), "160x120": (160, 120)}
PAIRS, WARM_UP, EDGE = 5, 60, 40  # EDGE: results that are not counted, at either end of a turn
SECONDS = {"1500x1000": 20.0, "160x120": 15.0}
GUESS = {"1500x1000": 12.0, "160x120": 80.0}  # results a second, only to choose the number of requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder, throwaway(photo_settings(Path(folder))) as settings:
        render(settings)
        with local_stack(settings) as stack:
            ensure_topics(stack.settings.kafka)
            for size, pixels in SIZES.items():
                addresses = make_photos(Path(folder) / size, 40, pixels)
                _report(size, [_pair(stack, addresses, size, number) for number in range(chosen.pairs)])


def _pair(stack: Stack, addresses: Sequence[str], size: str, number: int) -> dict[Delivery, float]:
    order: list[Delivery] = ["exactly_once", "at_least_once"]
    if number % 2:
        order.reverse()
    return {delivery: _turn(stack, delivery, addresses, size) for delivery in order}


def _turn(stack: Stack, delivery: Delivery, addresses: Sequence[str], size: str) -> float:
    """Return the results a second of a new worker."""
    settings = stack.settings.model_copy(
        update={"kafka": stack.settings.kafka.model_copy(update={"delivery": delivery})}
    )
    server = worker_server(settings, consumer.COMMAND)
    stack.supervisor.start(server)
    try:
        with RequestFollower(settings.kafka) as follower:
            follower.follow(_requests(addresses, WARM_UP))
            meter = _Meter()
            count = round(GUESS[size] * SECONDS[size])
            batch = follower.follow(_requests(addresses, count + 2 * EDGE), on_progress=meter)
            if batch.count("ok") != len(batch.requests):
                raise SystemExit("not every photo was cut out")
            return meter.rate(EDGE, EDGE + count)
    finally:
        stack.supervisor.stop(server.name)


class _Meter:
    """Notes when how many results had arrived."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, float]] = []

    def __call__(self, batch: Batch) -> None:
        if not self._seen or len(batch.results) > self._seen[-1][0]:
            self._seen.append((len(batch.results), time.monotonic()))

    def rate(self, first: int, last: int) -> float:
        """Return the results a second between the first notes with at least `first` and `last` results."""
        begin, end = (next(note for note in self._seen if note[0] >= count) for count in (first, last))
        return (end[0] - begin[0]) / (end[1] - begin[1])


_sent = 0


def _requests(addresses: Sequence[str], count: int) -> list[Request]:
    global _sent
    first, _sent = _sent, _sent + count
    return [Request(id=f"photo-{n}", image=addresses[n % len(addresses)]) for n in range(first, first + count)]


def _report(size: str, pairs: Sequence[dict[Delivery, float]]) -> None:
    ratios = [pair["exactly_once"] / pair["at_least_once"] for pair in pairs]
    line = record(
        "delivery",
        size=size,
        exactly_once_per_second=[round(pair["exactly_once"], 2) for pair in pairs],
        at_least_once_per_second=[round(pair["at_least_once"], 2) for pair in pairs],
        ratios=[round(ratio, 3) for ratio in ratios],
        median_ratio=round(statistics.median(ratios), 3),
        spread=[round(min(ratios), 3), round(max(ratios), 3)],
    )
    Console().print_json(data=line)


if __name__ == "__main__":
    main()
