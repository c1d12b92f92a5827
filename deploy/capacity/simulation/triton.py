"""Triton with one network: its queue, its instances and the batches that it makes of waiting calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence

from simpy import Environment, Event

from deploy.capacity.simulation.cores import Cores


class Triton:
    """Each of the instances takes as many waiting calls as fit into a batch, and answers all of them together.

    An instance runs the images of a batch beside each other, on `threads` cores at most, as OpenVINO's queue does.
    """

    def __init__(self, env: Environment, cores: Cores, *, instances: int, max_batch: int) -> None:
        self._env = env
        self._cores = cores
        self._max_batch = max_batch
        self._threads = max(1, cores.number // instances)
        self._queue: deque[tuple[Sequence[float], Event]] = deque()
        self._idle = instances

    def infer(self, images: Sequence[float]) -> Event:
        """Return the event that this call is answered. `images` has the core-seconds of each of its images."""
        answered = self._env.event()
        self._queue.append((images, answered))
        if self._idle:
            self._idle -= 1
            self._env.process(self._serve())
        return answered

    def _serve(self) -> Generator[Event, object, None]:
        while self._queue:
            calls = [self._queue.popleft()]
            while self._queue and sum(len(images) for images, _ in calls) + len(self._queue[0][0]) <= self._max_batch:
                calls.append(self._queue.popleft())
            waiting = deque(seconds for images, _ in calls for seconds in images)
            yield self._env.all_of([self._env.process(self._thread(waiting)) for _ in range(self._threads)])
            for _, answered in calls:
                answered.succeed()
        self._idle += 1

    def _thread(self, waiting: deque[float]) -> Generator[Event, object, None]:
        while waiting:
            yield self._cores.work(waiting.popleft())
