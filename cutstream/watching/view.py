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

RETRY_TOPIC = "cutout.requests.retry"  # of settings that name no other
STAGES = ("fetch", "decode", "segment", "refine", "compose", "encode", "store")
Key = TypeVar("Key")

_MOST_CHARACTERS, _MOST_NAMES = 60, 12  # of what a worker calls something: it may be anything
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
    """A worker. `state` says in words whether it works; the numbers are 0, or None, if it is `away`.

    `lag` counts the requests in its partitions that have no result, `retry_lag` those of them on the retry topic. They
    are None while the worker cannot know: it has no partitions, or the broker is away.
    """

    address: str
    state: str
    away: bool = False
    well: bool = False
    halted: bool = False
    rate: float | None = None
    in_flight: float = 0
    window: float = 0
    unfinished: float = 0
    lag: float | None = None
    retry_lag: float | None = None
    memory: float = 0
    device: str = ""


@dataclass(frozen=True)
class View:
    """All workers together. Counts are since each worker's start; a rate is None until there are two answers.

    Unknown is None: `lag`, `retry_lag`, `drain_s` and `oldest_s` are, while no worker knows its partitions. `drain_s`
    is the time until no request waits in Kafka at the present rate, without the retry topic: infinite if it stands
    still.
    """

    workers: tuple[WorkerView, ...]
    stages: tuple[StageView, ...]
    statuses: Mapping[str, int]
    codes: Mapping[str, int]
    rate: float | None
    lag: float | None
    drain_s: float | None
    oldest_s: float | None
    latency: tuple[float | None, float | None, float | None]
    retry_lag: float | None = None

    @property
    def waiting(self) -> float | None:
        """The lag without the retry topic, whose requests wait until they are due."""
        return None if self.lag is None else self.lag - (self.retry_lag or 0)

    @property
    def trouble(self) -> str:
        """How many workers do not work, such as `1 of 2 workers away`. Empty if all do."""
        counts = {
            "away": sum(worker.away for worker in self.workers),
            "halted": sum(worker.halted for worker in self.workers),
            "not ready": sum(not (worker.well or worker.away or worker.halted) for worker in self.workers),
        }
        parts = [f"{count} {what}" for what, count in counts.items() if count]
        of_all = f" of {len(self.workers)} worker{'' if len(self.workers) == 1 else 's'} "
        return ", ".join([parts[0].replace(" ", of_all, 1), *parts[1:]]) if parts else ""

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


def view_of(observed: Sequence[Observed], retry_topic: str = RETRY_TOPIC) -> View:
    """Join the answers of all workers. `retry_topic` is CUTSTREAM_KAFKA__RETRY_TOPIC."""
    latest = [o.later.exposition for o in observed if o.later and o.later.exposition]
    knowing = [exposition for exposition in latest if _knows_lag(exposition)]
    workers = tuple(_worker(one, retry_topic) for one in observed)
    rates = [worker.rate for worker in workers if worker.rate is not None]
    rate = sum(rates) if rates else None
    backlog = _sum(knowing, lambda e: e.total(m.BACKLOG))
    p50, p95, p99 = _latency(observed)
    oldest_s = max((e.total(m.OLDEST_AGE) for e in knowing), default=None)
    if backlog > 0 and not oldest_s:
        oldest_s = None  # no request has been fetched yet: nobody knows how old they are
    return View(
        workers,
        _stages(observed, latest),
        _counts(latest, "status"),
        _counts(latest, "code", status="failed"),
        rate,
        _sum(knowing, lambda e: e.total(m.LAG)) if knowing else None,
        None if rate is None or not knowing else 0.0 if backlog <= 0 else backlog / rate if rate > 0 else inf,
        oldest_s,
        (p50, p95, p99),
        _sum(knowing, lambda e: e.total(m.LAG, topic=retry_topic)) if knowing else None,
    )


def _knows_lag(now: Exposition) -> bool:
    """Return whether the worker's gauges of its partitions are of now, and not 0 because it has none yet."""
    if now.total(m.HALTED) or any(now.by("check", m.READY).get(check) == 0 for check in ("running", "group", "broker")):
        return False
    return any(True for _ in now.select(m.LAG))  # one without partitions has none either


def _latency(observed: Sequence[Observed]) -> tuple[float | None, float | None, float | None]:
    """Return the ages below which 50, 95 and 99 % of the requests lie, none of them above what the sum allows.

    Inside a wide bucket the estimate may be far above the oldest request: a single one of 12 s would be shown as 15 s.
    """
    buckets = _increase(observed, lambda e: e.buckets(m.REQUEST_AGE))
    total = _increase(observed, lambda e: {"all": e.total(m.REQUEST_AGE, "sum")}).get("all", 0.0)
    least, lower, below, oldest_from = 0.0, 0.0, 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count > below:
            least, oldest_from = least + (count - below) * lower, lower
        lower, below = bound, count
    largest = max(oldest_from, total - least + oldest_from)  # if all others are as young as their buckets allow

    def age(share: float) -> float | None:
        estimate = quantile(share, buckets)
        return None if estimate is None else min(estimate, largest)

    return age(0.5), age(0.95), age(0.99)


def _worker(observed: Observed, retry_topic: str) -> WorkerView:
    later = observed.later
    if later is None:
        return WorkerView(observed.address, "has not answered yet", away=True)
    if later.exposition is None:
        return WorkerView(observed.address, one_line(later.problem), away=True)
    now = later.exposition
    state, knows_lag = _state(now), _knows_lag(now)
    rate = None
    if observed.earlier and later.at_s > observed.earlier.at_s:
        answered = _increase([observed], lambda e: {"all": e.total(m.REQUESTS)})
        rate = answered["all"] / (later.at_s - observed.earlier.at_s)
    return WorkerView(
        observed.address,
        state or "ready",
        well=not state,
        halted=now.total(m.HALTED) > 0,
        rate=rate,
        in_flight=now.total(m.IN_FLIGHT),
        window=now.total(m.WINDOW),
        unfinished=now.total(m.IN_FLIGHT) + now.total(m.UNCOMMITTED),
        lag=now.total(m.LAG) if knows_lag else None,
        retry_lag=now.total(m.LAG, topic=retry_topic) if knows_lag else None,
        memory=now.total(m.DECODED_BYTES),
        device=_device(now),
    )


def _device(now: Exposition) -> str:
    """Return the worker's device; if that is a GPU, with its memory in use and in all."""
    name = _clipped(", ".join(sorted({labels.get("device", "") for labels, _ in now.select(m.INFO)})))
    used, total = (now.total(m.DEVICE_MEMORY, kind=kind) / 1e9 for kind in ("used", "total"))
    return f"{name} {used:.0f}/{total:.0f} GB" if total else name


def _state(now: Exposition) -> str:
    """Return what keeps a worker from its work, in the words of /readyz and of the errors. Empty if nothing does."""
    if halted := _named(now.by("reason", m.HALTED)):
        return f"halted: {halted}"
    failing = _named({check: 1 - ready for check, ready in now.by("check", m.READY).items()})
    waiting = _named(now.by("reason", m.WAITING))
    doubts = _named(now.by("about", m.IN_DOUBT))
    return "; ".join(
        f"{what}: {names}"
        for what, names in (("not ready", failing), ("waits", waiting), ("in doubt", doubts))
        if names
    )


def _named(values: Mapping[str, float]) -> str:
    names = [_clipped(name) for name, value in values.items() if value > 0]
    return ", ".join(names if len(names) <= _MOST_NAMES else [*names[:_MOST_NAMES], "…"])


def _clipped(text: str) -> str:
    line = one_line(text[:_MOST_CHARACTERS])
    return line if len(text) <= _MOST_CHARACTERS else f"{line}…"


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
    """Return the requests by a label, the most frequent first, and the rest together as `…`."""
    counts: Counter[str] = Counter()
    for exposition in latest:
        for name, value in exposition.by(label, m.REQUESTS, **labels).items():
            counts[_clipped(name)] += int(value)
    found = [(name, count) for name, count in counts.most_common() if count]
    rest = sum(count for _, count in found[_MOST_NAMES:])
    return dict(found[:_MOST_NAMES]) | ({"…": rest} if rest else {})


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
