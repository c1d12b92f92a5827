"""Machines, their workers, the partitions between them, and the brokers' part of the work."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from simpy import Environment, Event

from deploy.capacity.simulation.cores import Cores, Interpreter
from deploy.capacity.simulation.triton import Triton
from deploy.capacity.simulation.worker import Partition, Photo, Rules, Work, Worker


@dataclass(frozen=True)
class Deployment:
    """What runs: equal machines, each with a Triton and so many workers.

    `broker_s` and `client_s` are the core-seconds that the brokers, and the programs that send and read, need for a
    photo: half of it when the request comes in, half when its result goes out. All of that is on the first machine,
    unless the brokers have `broker_cores` of their own, and the clients are elsewhere. `transaction_s` is the time that
    a commit takes besides; `transaction_broker_s` and `transaction_worker_s` are what it costs, whatever it holds.
    Triton shares its machine's cores, unless each has `triton_cores` of its own.
    """

    machines: int = 1
    cores: int = 2
    workers_per_machine: int = 1
    instances: int = 1
    max_batch: int = 8
    partitions: int = 8
    broker_cores: int | None = None
    triton_cores: int | None = None
    broker_s: float = 0.0
    client_s: float = 0.0
    transaction_s: float = 0.03
    transaction_broker_s: float = 0.0
    transaction_worker_s: float = 0.0
    rules: Rules = field(default_factory=Rules)


@dataclass
class Outcome:
    """What a run gives. `latencies_s` are from the arrival of a request to its committed result, by arrival."""

    arrived_s: list[float] = field(default_factory=list)
    committed_s: list[float] = field(default_factory=list)
    latencies_s: list[tuple[float, float]] = field(default_factory=list)
    transactions: int = 0
    busy_s: float = 0.0

    def lag(self, at_s: float) -> int:
        """Return how many requests had no committed result at this time."""
        return sum(t <= at_s for t in self.arrived_s) - sum(t <= at_s for t in self.committed_s)

    def rate(self, begin_s: float, end_s: float) -> float:
        """Return the results a second between the two times."""
        return sum(begin_s <= t < end_s for t in self.committed_s) / (end_s - begin_s)

    def latency_s(self, quantile: float, begin_s: float = 0.0, end_s: float = float("inf")) -> float:
        """Return a quantile (0..1) of the latencies of what arrived between the two times, by nearest rank; 0: none."""
        chosen = sorted(latency for arrived, latency in self.latencies_s if begin_s <= arrived < end_s)
        return chosen[max(0, -int(-quantile * len(chosen) // 1) - 1)] if chosen else 0.0


class Stream:
    """One run. Every photo's work differs by the same random factor in all its stages, of mean 1 and spread `cv`."""

    def __init__(self, deployment: Deployment, work: Work, *, cv: float = 0.2, seed: int = 1) -> None:
        self._d = deployment
        self._work = work
        self._cv = cv
        self._random = random.Random(seed)
        self._env = Environment()
        self.outcome = Outcome()
        machines = [Cores(self._env, deployment.cores) for _ in range(deployment.machines)]
        self._machines = machines
        own = deployment.broker_cores
        self._brokers = machines[0] if own is None else Cores(self._env, own)
        self._half_s = (deployment.broker_s + (deployment.client_s if own is None else 0.0)) / 2
        self._partitions = [Partition() for _ in range(deployment.partitions)]
        count = deployment.machines * deployment.workers_per_machine
        self._owner: list[Worker] = []
        shares = assign(deployment.partitions, count)
        for number, cores in enumerate(machines):
            beside = cores if deployment.triton_cores is None else Cores(self._env, deployment.triton_cores)
            triton = Triton(self._env, beside, instances=deployment.instances, max_batch=deployment.max_batch)
            for each in range(deployment.workers_per_machine):
                owned = shares[number * deployment.workers_per_machine + each]
                worker = Worker(
                    self._env,
                    cores,
                    triton,
                    [self._partitions[p] for p in owned],
                    deployment.rules,
                    lambda photos, python: self._env.process(self._commit(photos, python)),
                )
                self._owner.extend([worker] * len(owned))

    def run(self, arrivals: Sequence[float], until_s: float | None = None) -> Outcome:
        """Have requests arrive at these times, and run until all are answered, or until `until_s`."""
        self._left = len(arrivals)
        self._all_done = self._env.event()
        self._env.process(self._arrive(arrivals))
        self._env.run(self._env.timeout(until_s) if until_s is not None else self._all_done)
        self.outcome.busy_s = sum(cores.busy_s for cores in self._machines)
        return self.outcome

    def _arrive(self, arrivals: Sequence[float]) -> Generator[Event, object, None]:
        for at_s in arrivals:
            if at_s > self._env.now:
                yield self._env.timeout(at_s - self._env.now)
            self._env.process(self._write(at_s))

    def _write(self, at_s: float) -> Generator[Event, object, None]:
        """Put a request into a random partition, as the hash of its key does."""
        self.outcome.arrived_s.append(at_s)
        yield self._brokers.work(self._half_s)
        chosen = self._random.randrange(len(self._partitions))
        self._partitions[chosen].unread.append(Photo(at_s, self._one()))
        self._owner[chosen].notice()

    def _one(self) -> Work:
        if self._cv <= 0:
            return self._work
        shape = 1 / self._cv**2
        factor = self._random.gammavariate(shape, 1 / shape)
        return self._work.times(factor)

    def _commit(self, photos: list[Photo], python: Interpreter) -> Generator[Event, object, None]:
        self.outcome.transactions += 1
        yield from python.work(self._d.transaction_worker_s, 0.0)
        yield self._brokers.work(len(photos) * self._half_s + self._d.transaction_broker_s)
        yield self._env.timeout(self._d.transaction_s)
        for photo in photos:
            self.outcome.committed_s.append(self._env.now)
            self.outcome.latencies_s.append((photo.arrived_s, self._env.now - photo.arrived_s))
        self._left -= len(photos)
        if not self._left:
            self._all_done.succeed()


def assign(partitions: int, workers: int) -> list[list[int]]:
    """Share the partitions out as evenly as whole partitions allow: some workers have one more than others, or none."""
    each, more = divmod(partitions, workers)
    shares, first = [], 0
    for number in range(workers):
        size = each + (number < more)
        shares.append(list(range(first, first + size)))
        first += size
    return shares
