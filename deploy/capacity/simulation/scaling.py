"""How many workers the simulation wants, for what a scaler sees."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from deploy.capacity.simulation.run import poisson
from deploy.capacity.simulation.stream import Deployment, Stream
from deploy.capacity.simulation.worker import Work

_NEARLY_ALL = 0.99  # one partition with more than its share is no reason for another worker
_MOST = 1000


def workers_wanted(
    unit: Deployment, work: Work, *, waiting: int, per_second: float, wait_s: float, unit_rate: float, seed: int = 1
) -> int:
    """Return the fewest workers that keep up, and answer nearly all that wait now within `wait_s`.

    `unit` is one worker with its machine, which does `unit_rate` photos a second; there may be as many as are wanted,
    each with an equal share of the partitions. Requests go on to come at `per_second`.
    """
    workers = max(1, ceil(per_second / unit_rate))
    while workers < _MOST and _answered(unit, work, workers, waiting, per_second, wait_s, seed) < _NEARLY_ALL:
        workers += 1
    return workers


def _answered(
    unit: Deployment, work: Work, workers: int, waiting: int, per_second: float, wait_s: float, seed: int
) -> float:
    """Return the share of those waiting at the start that have their result after `wait_s`."""
    if not waiting:
        return 1.0
    deployment = replace(unit, machines=workers, partitions=workers * 8)
    coming = poisson([(wait_s, per_second)], seed) if per_second else []
    outcome = Stream(deployment, work, seed=seed).run([0.0] * waiting + coming, until_s=wait_s)
    return sum(arrived == 0.0 for arrived, _ in outcome.latencies_s) / waiting
