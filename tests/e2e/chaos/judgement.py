"""Tells from the figures of an overload run which promises were broken, and whether there was an overload at all.

tests/e2e/chaos/test_judgement.py shows that each sentence can appear.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TIMES_LEAST = 2.5  # times the capacity that must have been sent
BACKLOG_S = 5.0  # work that must be waiting at the end, in seconds of the worker's capacity
LEAST_SHARE = 0.5  # of its capacity that the worker must go on doing, expired requests included
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
    before the overload, `rebalances` those during it. `expired_early` counts results written before their deadline,
    `downloaded_late` photos that were asked for after it. The others of `expired_but_downloaded` became late on
    their way through the worker.
    """

    capacity_per_second: float
    sent_per_second: float
    results_per_second: float
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
    if seen.results_per_second < LEAST_SHARE * seen.capacity_per_second:
        yield f"{seen.results_per_second:g} results a second under overload, {seen.capacity_per_second:g} before"


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
    if seen.downloaded_late:
        yield f"{seen.downloaded_late} photos were downloaded after the deadline"


def _order(seen: Overloaded) -> Iterator[str]:
    if not (seen.urgent.count and seen.others.count):
        yield "urgent or other requests are missing among the results, so their order proves nothing"
    elif seen.urgent.p95 > URGENT_SHARE * seen.others.p50:
        yield f"urgent requests took {seen.urgent.p95:g} s (p95), others {seen.others.p50:g} s (p50)"
