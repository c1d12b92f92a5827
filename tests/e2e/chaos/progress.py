"""How fast the stream recovers from a fault, and whether a partition stood still, from what was observed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cutstream.clients.kafka import Partition
from tests.e2e.chaos.observer import Sample

RATE_WINDOW_S = 3.0
FULL_RATE_SHARE = 0.9


@dataclass(frozen=True)
class Interval:
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Idle:
    """The longest time, faults not counted, in which a partition had work and nothing of it was committed."""

    partition: Partition
    idle_s: float
    committed: int
    end: int


def first_after(arrivals_s: Sequence[float], moment_s: float) -> float | None:
    """Return how long after the moment the next result arrived."""
    index = bisect_right(arrivals_s, moment_s)
    return arrivals_s[index] - moment_s if index < len(arrivals_s) else None


def rate(arrivals_s: Sequence[float], start_s: float, end_s: float) -> float:
    """Return the results a second between two moments."""
    count = bisect_right(arrivals_s, end_s) - bisect_right(arrivals_s, start_s)
    return count / (end_s - start_s) if end_s > start_s else 0.0


def recovered_after(arrivals_s: Sequence[float], moment_s: float, full_rate: float) -> float | None:
    """Return how long after the moment a window at FULL_RATE_SHARE of the full rate ended, or None if none did."""
    wanted = full_rate * FULL_RATE_SHARE * RATE_WINDOW_S
    first = bisect_right(arrivals_s, moment_s)
    for index in range(first, len(arrivals_s)):
        start = max(moment_s, arrivals_s[index] - RATE_WINDOW_S)
        if index + 1 - bisect_right(arrivals_s, start) >= wanted:
            return arrivals_s[index] - moment_s
    return None


def longest_idle(samples: Sequence[Sample], faults: Sequence[Interval], retry_topic: str) -> list[Idle]:
    """Return, for each partition that ever had work, its longest time without progress while nothing disturbed.

    The retry topic is left out: its records wait on purpose.
    """
    longest: dict[Partition, Idle] = {}
    current: dict[Partition, float] = {}
    for before, after in pairwise(samples):
        disturbed = any(fault.start_s < after.at_s and before.at_s < fault.end_s for fault in faults)
        for partition, lag in after.lags.items():
            was = before.lags.get(partition)
            if partition.topic == retry_topic or was is None:
                continue
            if lag.committed != was.committed or was.committed >= was.end:
                current[partition] = 0.0
            elif not disturbed:
                current[partition] = current.get(partition, 0.0) + after.at_s - before.at_s
            idle = Idle(partition, current.get(partition, 0.0), lag.committed, lag.end)
            if partition not in longest or idle.idle_s > longest[partition].idle_s:
                longest[partition] = idle
    return sorted(longest.values(), key=lambda idle: -idle.idle_s)
