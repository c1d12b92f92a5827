"""Run the simulation with measured service times."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from deploy.capacity.measured import Measured
from deploy.capacity.simulation.stream import Deployment, Outcome, Stream
from deploy.capacity.simulation.worker import Work

SHARES = (0.05, 0.95)  # within which the share of the interpreter's lock is looked for
_BACKLOG = 400  # photos; the rate is that of the middle half


def work_of(
    measured: Measured, megapixels: float, format: str = "png", profile: str = "fast", object_wait_s: float = 0.0
) -> Work:
    """Return the work of a photo. Half of `object_wait_s` is for reading it, half for writing its output."""
    own = {name: line.at(megapixels) / 1000 for name, line in measured.stages.items()}
    shared = measured.results_per_transaction
    return Work(
        loop_s=max(0.0, measured.loop_ms - measured.transaction_worker_ms / shared) / 1000 + own["decode"],
        fetch_s=own["fetch"],
        decode_s=measured.decode.at(megapixels) / 1000,
        prepare_s=own["segment"],
        infer_s=measured.inference_ms[profile] / 1000,
        refine_s=own["refine"],
        compose_s=own["compose"],
        encode_s=measured.encode[format].at(megapixels) / 1000,
        store_s=own["store"],
        locked_share=measured.locked_share,
        fetch_wait_s=object_wait_s / 2,
        store_wait_s=object_wait_s / 2,
    )


def on_one_machine(measured: Measured, cores: int, workers: int = 1) -> Deployment:
    """Return the local stack: brokers, clients, Triton and workers share one machine's cores."""
    deployment = Deployment(cores=cores, workers_per_machine=workers, client_s=measured.client_ms / 1000)
    return with_costs(deployment, measured)


def with_costs(deployment: Deployment, measured: Measured, copies: int = 1) -> Deployment:
    """Return it with what brokers and transactions cost, as if the brokers did the same for each copy."""
    each_ms = max(0.0, measured.broker_ms - measured.transaction_broker_ms / measured.results_per_transaction)
    return replace(
        deployment,
        broker_s=each_ms * copies / 1000,
        transaction_broker_s=measured.transaction_broker_ms * copies / 1000,
        transaction_worker_s=measured.transaction_worker_ms / 1000,
        transaction_s=measured.transaction_ms / 1000,
    )


def saturated_rate(deployment: Deployment, work: Work, *, seed: int = 1, photos: int = _BACKLOG) -> float:
    """Return the photos a second while more wait than the window holds."""
    done = sorted(Stream(deployment, work, seed=seed).run([0.0] * photos).committed_s)
    first, last = photos // 4, photos * 3 // 4
    return (last - first) / max(1e-9, done[last] - done[first])


def fit_locked_share(measured: Measured, megapixels: float, cores: int, rate: float) -> float:
    """Return the share of the worker's work under its interpreter's lock with which one worker reaches this rate."""
    low, high = SHARES
    deployment = on_one_machine(measured, cores)
    for _ in range(7):
        middle = (low + high) / 2
        work = replace(work_of(measured, megapixels), locked_share=middle)
        if saturated_rate(deployment, work) > rate:
            low = middle
        else:
            high = middle
    return round((low + high) / 2, 2)


def poisson(rates: Iterable[tuple[float, float]], seed: int) -> list[float]:
    """Return random arrival times: for each pair, so many seconds of so many requests a second, one after the other."""
    numbers, times, begin_s = random.Random(seed), list[float](), 0.0
    for seconds, rate in rates:
        at_s = begin_s + numbers.expovariate(rate)
        while at_s < begin_s + seconds:
            times.append(at_s)
            at_s += numbers.expovariate(rate)
        begin_s += seconds
    return times


def pooled(deployment: Deployment, work: Work, arrivals: Sequence[float], seeds: Sequence[int]) -> list[Outcome]:
    """Run the same arrivals with several seeds, for quantiles that depend less on chance."""
    return [Stream(deployment, work, seed=seed).run(arrivals) for seed in seeds]
