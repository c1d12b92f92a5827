"""What two answers of each worker say about all of them. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from cutstream import metrics as m
from cutstream.exposition import Exposition, quantile
from cutstream.printable import one_line
from cutstream.watching.scraping import Observed

STAGES = ("fetch", "decode", "segment", "refine", "compose", "encode", "store")
Key = TypeVar("Key")

_BUSY = 0.5  # of the window: below it nothing holds the photos up


@dataclass(frozen=True)
class StageView:
    """A stage: its photos by state, and its work on one photo, None if it finished none between the two answers."""

    name: str
    waiting: float
    working: float
    retrying: float
    seconds: float | None

    @property
    def photos(self) -> float:
        return self.waiting + self.working + self.retrying


@dataclass(frozen=True)
class WorkerView:
    """A worker. `state` says in words whether it works; the numbers are 0, and the rate None, if it is `away`."""

    address: str
    state: str
    away: bool = False
    well: bool = False
    rate: float | None = None
    in_flight: float = 0
    window: float = 0
    unfinished: float = 0
    lag: float = 0
    memory: float = 0
    device: str = ""


@dataclass(frozen=True)
class View:
    """All workers together. Counts are since each worker's start; a rate is None until there are two answers.

    `drain_s` is the time until no request waits in Kafka at the present rate: infinite if it stands still.
    """

    workers: tuple[WorkerView, ...]
    stages: tuple[StageView, ...]
    statuses: Mapping[str, int]
    codes: Mapping[str, int]
    rate: float | None
    lag: float
    drain_s: float | None
    oldest_s: float
    latency: tuple[float | None, float | None, float | None]

    @property
    def bottleneck(self) -> str | None:
        """The stage with the most photos, if the workers have at least half of the photos that they may have."""
        fullest = max(self.stages, key=lambda stage: stage.photos)
        window = sum(worker.window for worker in self.workers)
        busy = sum(worker.in_flight for worker in self.workers) >= _BUSY * window > 0
        return fullest.name if busy and fullest.photos > 0 else None

    @property
    def unfinished(self) -> float:
        """Requests that the workers have read and that have no committed result."""
        return sum(worker.unfinished for worker in self.workers)


def view_of(observed: Sequence[Observed]) -> View:
    """Join the answers of all workers."""
    latest = [o.later.exposition for o in observed if o.later and o.later.exposition]
    workers = tuple(map(_worker, observed))
    rates = [worker.rate for worker in workers if worker.rate is not None]
    rate = sum(rates) if rates else None
    backlog = _sum(latest, lambda e: e.total(m.BACKLOG))
    ages = _increase(observed, lambda e: e.buckets(m.REQUEST_AGE))
    p50, p95, p99 = (quantile(share, ages) for share in (0.5, 0.95, 0.99))
    return View(
        workers,
        _stages(observed, latest),
        _counts(latest, "status"),
        _counts(latest, "code", status="failed"),
        rate,
        _sum(latest, lambda e: e.total(m.LAG)),
        None if rate is None else 0.0 if backlog <= 0 else backlog / rate if rate > 0 else inf,
        max((e.total(m.OLDEST_AGE) for e in latest), default=0.0),
        (p50, p95, p99),
    )


def _worker(observed: Observed) -> WorkerView:
    later = observed.later
    if later is None:
        return WorkerView(observed.address, "is asked", away=True)
    if later.exposition is None:
        return WorkerView(observed.address, one_line(later.problem), away=True)
    now = later.exposition
    state = _state(now)
    rate = None
    if observed.earlier and later.at_s > observed.earlier.at_s:
        answered = _increase([observed], lambda e: {"all": e.total(m.REQUESTS)})
        rate = answered["all"] / (later.at_s - observed.earlier.at_s)
    return WorkerView(
        observed.address,
        state or "ready",
        well=not state,
        rate=rate,
        in_flight=now.total(m.IN_FLIGHT),
        window=now.total(m.WINDOW),
        unfinished=now.total(m.IN_FLIGHT) + now.total(m.UNCOMMITTED),
        lag=now.total(m.LAG),
        memory=now.total(m.DECODED_BYTES),
        device=_device(now),
    )


def _device(now: Exposition) -> str:
    """Return the worker's device; if that is a GPU, with its memory in use and in all."""
    name = ", ".join(sorted(one_line(labels.get("device", "")) for labels, _ in now.select(m.INFO)))
    used, total = (now.total(m.DEVICE_MEMORY, kind=kind) / 1e9 for kind in ("used", "total"))
    return f"{name} {used:.0f}/{total:.0f} GB" if total else name


def _state(now: Exposition) -> str:
    """Return what keeps a worker from its work, in the words of /readyz and of the errors. Empty if nothing does."""
    if halted := _named(now.by("reason", m.HALTED)):
        return f"halted: {halted}"
    failing = ", ".join(one_line(check) for check, ready in now.by("check", m.READY).items() if ready == 0)
    waiting = _named(now.by("reason", m.WAITING))
    doubts = _named(now.by("about", m.IN_DOUBT))
    return "; ".join(
        f"{what}: {names}"
        for what, names in (("not ready", failing), ("waits", waiting), ("in doubt", doubts))
        if names
    )


def _named(values: Mapping[str, float]) -> str:
    return ", ".join(one_line(name) for name, value in values.items() if value > 0)


def _stages(observed: Sequence[Observed], latest: Sequence[Exposition]) -> tuple[StageView, ...]:
    seconds = _increase(observed, lambda e: e.by("stage", m.STAGE_SECONDS, "sum"))
    photos = _increase(observed, lambda e: e.by("stage", m.STAGE_SECONDS, "count"))

    def in_state(stage: str, state: str) -> float:
        return _sum(latest, lambda e: e.total(m.STAGE_PHOTOS, stage=stage, state=state))

    return tuple(
        StageView(
            name,
            in_state(name, "waiting"),
            in_state(name, "working"),
            in_state(name, "retrying"),
            seconds[name] / photos[name] if photos.get(name) else None,
        )
        for name in STAGES
    )


def _counts(latest: Iterable[Exposition], label: str, **labels: str) -> dict[str, int]:
    """Return the requests by a label, the most frequent first."""
    counts: Counter[str] = Counter()
    for exposition in latest:
        for name, value in exposition.by(label, m.REQUESTS, **labels).items():
            counts[one_line(name)] += int(value)
    return {name: count for name, count in counts.most_common() if count}


def _sum(expositions: Iterable[Exposition], read: Callable[[Exposition], float]) -> float:
    return sum(map(read, expositions))


def _increase(observed: Iterable[Observed], read: Callable[[Exposition], Mapping[Key, float]]) -> dict[Key, float]:
    """Return how much counters have grown between the two answers. One that fell has begun again at 0."""
    grown: dict[Key, float] = defaultdict(float)
    for one in observed:
        if one.earlier and one.earlier.exposition and one.later and one.later.exposition:
            before, now = read(one.earlier.exposition), read(one.later.exposition)
            for name, value in now.items():
                known = before.get(name, 0.0)
                grown[name] += value - known if value >= known else value
    return dict(grown)
