"""A worker: the loop that reads and commits, and the photos in its window. It mirrors consumer/, name by name.

`consumer/` is not imported, because `deploy` knows no other service: what is repeated here are its rules, not its code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, fields, replace
from itertools import count

from simpy import Environment, Event, PriorityResource, Resource

from deploy.capacity.simulation.cores import Cores, Interpreter
from deploy.capacity.simulation.triton import Triton

BUSY_WAIT_S, FULL_WAIT_S = 0.02, 0.1  # of consumer/loop.py, as are the next two
PATIENCE, MOST_PATIENT_S = 0.05, 1.0
FETCH_SLOTS, STORE_SLOTS = 32, 24  # of consumer/app.py and consumer/resources/destinations.py


@dataclass(frozen=True)
class Work:
    """Core-seconds of one photo, by who does them, and the waits that cost no core.

    `locked_share` is the part of the worker's own work that holds the interpreter's lock. `loop_s` is what the worker
    does beside the stages: reading, admission, timing, its part of the commit. All of it holds the lock.
    """

    loop_s: float
    fetch_s: float
    decode_s: float
    prepare_s: float
    infer_s: float
    refine_s: float
    compose_s: float
    encode_s: float
    store_s: float
    locked_share: float
    fetch_wait_s: float = 0.0
    store_wait_s: float = 0.0

    def times(self, factor: float) -> Work:
        """Return the work of a photo that costs so many times as much. The loop's part is the same for all photos."""
        return replace(self, **{name: getattr(self, name) * factor for name in _VARYING})


_VARYING = tuple(
    f.name for f in fields(Work) if f.name not in ("loop_s", "locked_share", "fetch_wait_s", "store_wait_s")
)


@dataclass(eq=False)
class Photo:
    """A request on its way. `work` is its own: photos differ."""

    arrived_s: float
    work: Work
    finished: bool = False


@dataclass
class Partition:
    """Requests by age. What is in `unread` was not read yet, what is in `tracked` has no committed result yet."""

    unread: deque[Photo] = field(default_factory=deque)
    tracked: deque[Photo] = field(default_factory=deque)


@dataclass(frozen=True)
class Rules:
    """The settings of a worker that decide how it shares its time. The defaults are those of the product."""

    window: int = 32
    decoders: int = 0
    """0: one per core, at most four."""
    cores: int = 0
    """Photos in each CPU stage at once. 0: one per core."""
    commit_interval_s: float = 0.25
    commit_max_results: int = 200
    batch_max_items: int = 8
    batch_max_wait_s: float = 0.005
    in_flight: int = 4


class Worker:
    """`commit` takes the photos of one transaction and the worker's Python, and returns the event that it has ended."""

    def __init__(
        self,
        env: Environment,
        cores: Cores,
        triton: Triton,
        partitions: list[Partition],
        rules: Rules,
        commit: Callable[[list[Photo], Interpreter], Event],
    ) -> None:
        self._env = env
        self._cores = cores
        self._triton = triton
        self._rules = rules
        self._commit = commit
        self._python = Interpreter(env, cores)
        self._partitions = partitions
        self._next = 0
        self._in_flight = 0
        self._finished: list[Photo] = []  # not collected yet
        self._uncommitted = 0  # collected
        self._patience_s = MOST_PATIENT_S
        self._last_commit_s = 0.0
        self._committing = False
        self._begun = count()
        self._wake = env.event()
        slots = rules.cores or cores.number
        self._fetch = PriorityResource(env, FETCH_SLOTS)
        self._decode = PriorityResource(env, rules.decoders or min(4, cores.number))
        self._cpu = PriorityResource(env, slots)
        self._store = PriorityResource(env, STORE_SLOTS)
        self._calls = Resource(env, rules.in_flight)
        self._open: _Batch | None = None
        env.process(self._run())

    def notice(self) -> None:
        """Say that there is something to read: an idle worker waits in its poll, a busy one looks by itself."""
        if self._in_flight == 0:
            self._awake()

    @property
    def _backlog(self) -> int:
        return sum(len(partition.unread) for partition in self._partitions)

    # -- the loop

    def _run(self) -> Generator[Event, object, None]:
        while True:
            self._read()
            wait_s = FULL_WAIT_S if self._in_flight >= self._rules.window else BUSY_WAIT_S
            if not self._finished:
                self._wake = self._env.event()
                idle = self._in_flight == 0 and not self._committing and not self._uncommitted
                yield self._wake if idle else self._env.any_of([self._wake, self._env.timeout(wait_s)])
            self._collect()
            if self._commit_due():
                self._start_commit()

    def _read(self) -> None:
        """Fill the window. The partitions take turns."""
        empty = 0
        while self._in_flight < self._rules.window and empty < len(self._partitions):
            partition = self._partitions[self._next % len(self._partitions)]
            self._next += 1
            if not partition.unread:
                empty += 1
                continue
            empty = 0
            photo = partition.unread.popleft()
            partition.tracked.append(photo)
            self._in_flight += 1
            self._env.process(self._carry(photo))

    def _collect(self) -> None:
        for photo in self._finished:
            photo.finished = True
            self._in_flight -= 1
            self._uncommitted += 1
            self._patience_s = min(self._patience_s, (self._env.now - photo.arrived_s) * PATIENCE)
        self._finished.clear()

    def _commit_due(self) -> bool:
        if self._committing or not self._uncommitted:
            return False
        rules = self._rules
        interval_s = rules.commit_interval_s
        if self._backlog > rules.window:
            interval_s = max(interval_s, self._patience_s)
        return (
            self._in_flight == 0
            or self._uncommitted >= rules.commit_max_results
            or self._env.now - self._last_commit_s >= interval_s
        )

    def _start_commit(self) -> None:
        self._last_commit_s, self._patience_s = self._env.now, MOST_PATIENT_S
        photos: list[Photo] = []
        for partition in self._partitions:  # of each, only what nothing earlier is missing from
            while partition.tracked and partition.tracked[0].finished and len(photos) < self._rules.commit_max_results:
                photos.append(partition.tracked.popleft())
        if photos:
            self._committing = True
            self._uncommitted -= len(photos)
            self._commit(photos, self._python).callbacks.append(lambda _: self._end_commit())

    def _end_commit(self) -> None:
        self._committing = False
        if self._in_flight == 0:
            self._awake()

    def _awake(self) -> None:
        if not self._wake.triggered:
            self._wake.succeed()

    # -- a photo

    def _carry(self, photo: Photo) -> Generator[Event, object, None]:
        work, order = photo.work, next(self._begun)  # the oldest is served first
        yield from self._python.work(work.loop_s, 0.0)
        with self._fetch.request(order) as slot:
            yield slot
            yield from self._own(work, work.fetch_s)
            if work.fetch_wait_s:
                yield self._env.timeout(work.fetch_wait_s)
        with self._decode.request(order) as slot:
            yield slot
            yield self._cores.work(work.decode_s)  # in a process of its own
        yield from self._own(work, work.prepare_s)
        yield self._env.process(self._segment(work.infer_s))
        for seconds in (work.refine_s, work.compose_s, work.encode_s):
            with self._cpu.request(order) as slot:
                yield slot
                yield from self._own(work, seconds)
        with self._store.request(order) as slot:
            yield slot
            yield from self._own(work, work.store_s)
            if work.store_wait_s:
                yield self._env.timeout(work.store_wait_s)
        self._finished.append(photo)
        self._awake()

    def _own(self, work: Work, seconds: float) -> Generator[Event, object, None]:
        return self._python.work(seconds * work.locked_share, seconds * (1 - work.locked_share))

    def _segment(self, infer_s: float) -> Generator[Event, object, None]:
        """Join the open micro-batch. Its first photo leads it: it waits for others, then for a call to be free."""
        batch = self._open
        if batch is None or len(batch.images) == self._rules.batch_max_items:
            batch = self._open = _Batch([], self._env.event(), self._env.event())
        batch.images.append(infer_s)
        if len(batch.images) == self._rules.batch_max_items:
            batch.full.succeed()
        if len(batch.images) == 1:
            yield self._env.any_of([batch.full, self._env.timeout(self._rules.batch_max_wait_s)])
            with self._calls.request() as call:
                yield call
                if self._open is batch:
                    self._open = None
                yield self._triton.infer(batch.images)
            batch.done.succeed()
        else:
            yield batch.done


@dataclass
class _Batch:
    images: list[float]
    full: Event
    done: Event
