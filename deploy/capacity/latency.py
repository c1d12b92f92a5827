"""How long a photo takes: an approximation by hand, for the plan. The simulation is the finer model."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, log

from cutstream.settings import TritonSettings, WorkerSettings
from deploy.capacity.sheet import rounded_as_shown, show

COMMIT_INTERVAL_S = WorkerSettings().commit_interval_s
BATCH_WAIT_S = TritonSettings().batch_max_wait_s


@dataclass(frozen=True)
class Latency:
    """From the arrival of a request to its committed result, with the arithmetic."""

    utilisation: float
    p50_s: float
    p99_s: float
    p50_formula: str
    p99_formula: str


def waiting_probability(servers: int, utilisation: float) -> float:
    """Return the chance that an arrival finds all servers busy (Erlang C). `utilisation` is below 1."""
    offered = servers * utilisation
    busy = offered**servers / factorial(servers) / (1 - utilisation)
    return busy / (sum(offered**n / factorial(n) for n in range(servers)) + busy)


def predict(
    *, own_ms: float, triton_ms: float, servers: int, utilisation: float, waits_s: float, transaction_ms: float
) -> Latency:
    """Predict for photos that arrive at random, with M/M/c for the waiting.

    A photo's work is done in turn; then its result waits for a commit, half an interval on average and a whole one at
    most. `waits_s` is the object store's part.
    """
    utilisation = rounded_as_shown(min(utilisation, 0.999))
    work_s = rounded_as_shown((own_ms + triton_ms) / 1000 + BATCH_WAIT_S)
    commit_s = rounded_as_shown(transaction_ms / 1000)
    chance = waiting_probability(servers, utilisation)
    tail_s = rounded_as_shown(own_ms / 1000 / (servers * (1 - utilisation)))
    p50, p50_formula = _sum(work_s, waits_s, _queued(chance, 0.5, tail_s), COMMIT_INTERVAL_S / 2, commit_s)
    p99, p99_formula = _sum(work_s, waits_s, _queued(chance, 0.01, tail_s), COMMIT_INTERVAL_S, commit_s)
    return Latency(utilisation, p50, p99, p50_formula, p99_formula)


def _queued(chance: float, share: float, tail_s: float) -> float:
    """Return the wait that only this share of arrivals exceeds: P(W > t) = chance × exp(−t ÷ tail)."""
    return rounded_as_shown(tail_s * log(chance / share)) if chance > share else 0.0


def _sum(*parts: float) -> tuple[float, str]:
    return sum(parts), " + ".join(map(show, parts))
