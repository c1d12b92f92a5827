"""Tells from the figures of an overload run and of a drain which promises were broken, and whether they were tried.

tests/e2e/chaos/test_judgement.py shows that each sentence can appear.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TIMES_LEAST = 2.5  # times the capacity that must have been sent
BACKLOG_S = 5.0  # work that must be waiting at the end, in seconds of the worker's capacity
LEAST_SHARE = 0.5  # of its capacity at which photos must go on being finished; what expires does not count
RESERVED_LEAST = 0.5  # share of the budget that must have been in use
URGENT_SHARE = 0.5  # of the median age of other requests, which nearly all urgent ones must stay below
SAMPLES_LEAST = 8


@dataclass(frozen=True)
class Ages:
    """How old requests without a deadline were when their results were written, in seconds."""

    count: int
    p50: float
    p95: float


def ages(values: Sequence[float]) -> Ages:
    if len(values) < 2:
        return Ages(len(values), *(list(values) or [0.0]) * 2)
    cuts = statistics.quantiles(values, n=20)
    return Ages(len(values), round(cuts[9], 2), round(cuts[18], 2))


@dataclass(frozen=True)
class Overloaded:
    """What a run has shown.

    `budget_mb` is the worker's budget for decoded photos, `reserved_mb` the most of it that was in use. Memory is that
    of the worker and its children, what they share with nobody. `assignments` counts changes of the worker's partitions
    before the overload, `rebalances` those during it. `results_per_second` has the expired requests too,
    `finished_per_second` only those that ended `ok`. `expired_early` counts results written before their deadline,
    `downloaded` all photos of requests with a deadline, `downloaded_late` those that were asked for after it, whatever
    their requests ended as. The others of `expired_but_downloaded` became late on their way through the worker.
    """

    capacity_per_second: float
    sent_per_second: float
    results_per_second: float
    finished_per_second: float
    backlog_at_the_end: int
    caught_up_after_s: float
    budget_mb: float
    reserved_mb: float
    memory_at_rest_mb: float
    highest_memory_mb: float
    samples: int
    assignments: float
    rebalances: float
    expired: int
    expired_early: int
    expired_but_downloaded: int
    downloaded: int
    downloaded_late: int
    urgent: Ages
    others: Ages


def judge(seen: Overloaded) -> list[str]:
    """Return a sentence for each promise that was broken, and for each that was not put to the test."""
    return [*_load(seen), *_memory(seen), *_group(seen), *_deadlines(seen), *_order(seen)]


def _load(seen: Overloaded) -> Iterator[str]:
    if seen.sent_per_second < TIMES_LEAST * seen.capacity_per_second:
        yield f"{seen.sent_per_second:g} requests a second are less than {TIMES_LEAST:g} times the capacity"
    if seen.backlog_at_the_end < BACKLOG_S * seen.capacity_per_second:
        yield f"only {seen.backlog_at_the_end} requests waited at the end, so this was no overload"
    if seen.finished_per_second < LEAST_SHARE * seen.capacity_per_second:
        yield f"{seen.finished_per_second:g} photos finished a second in overload, {seen.capacity_per_second:g} before"


def _memory(seen: Overloaded) -> Iterator[str]:
    if seen.samples < SAMPLES_LEAST:
        yield f"{seen.samples} samples are too few to tell how much memory was used: take more minutes"
        return
    if seen.reserved_mb > seen.budget_mb:
        yield f"{seen.reserved_mb:g} MB of decoded photos, more than the budget of {seen.budget_mb:g} MB"
    if seen.reserved_mb < RESERVED_LEAST * seen.budget_mb:
        yield f"only {seen.reserved_mb:g} MB of decoded photos: the budget of {seen.budget_mb:g} MB held none back"
    if (grown := seen.highest_memory_mb - seen.memory_at_rest_mb) > seen.budget_mb:
        yield f"the worker's memory grew by {grown:.0f} MB, more than the budget of {seen.budget_mb:g} MB"


def _group(seen: Overloaded) -> Iterator[str]:
    if not seen.assignments:
        yield "the worker counts no change of its partitions, not even the first: rebalances cannot be seen"
    if seen.rebalances:
        yield f"{seen.rebalances:g} rebalances"


def _deadlines(seen: Overloaded) -> Iterator[str]:
    if not seen.expired:
        yield "nothing expired"
    if seen.expired_early:
        yield f"{seen.expired_early} requests expired before their deadline"
    if not seen.downloaded:
        yield "no photo of a request with a deadline was downloaded, so none can have been too late"
    if seen.downloaded_late:
        yield f"{seen.downloaded_late} photos were downloaded after the deadline"


def _order(seen: Overloaded) -> Iterator[str]:
    if not (seen.urgent.count and seen.others.count):
        yield "urgent or other requests are missing among the results, so their order proves nothing"
    elif seen.urgent.p95 > URGENT_SHARE * seen.others.p50:
        yield f"urgent requests took {seen.urgent.p95:g} s (p95), others {seen.others.p50:g} s (p50)"


@dataclass(frozen=True)
class Drained:
    """How a worker ended on SIGTERM. `exit_code` is None if it had to be killed."""

    exit_code: int | None
    seconds: float
    limit_s: float
    requests_left: int


def judge_drain(seen: Drained) -> list[str]:
    """Return a sentence for each promise of the drain that was broken, or was not put to the test."""
    return list(_drain(seen))


def _drain(seen: Drained) -> Iterator[str]:
    if seen.exit_code is None:
        yield f"on SIGTERM the worker did not end within {seen.seconds:.1f} s and was killed"
    elif seen.exit_code:
        yield f"on SIGTERM the worker ended with {seen.exit_code}"
    elif seen.seconds > seen.limit_s:
        yield f"on SIGTERM the worker ended after {seen.seconds:.1f} s, the limit is {seen.limit_s:g} s"
    if not seen.requests_left:
        yield "nothing was left when the worker ended, so the drain proves nothing"
