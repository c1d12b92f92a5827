"""What `/readyz` says: a worker is ready if it is in its group and nothing keeps it from finishing what it reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from math import nan
from typing import Any

from consumer.loop import Loop
from consumer.resources.probe import Probe
from consumer.resources.waits import Waits
from cutstream.errors import (
    BackgroundsFull,
    DeviceOutOfMemory,
    ModelReloaded,
    OutOfResources,
    StoreUnavailable,
    TritonUnavailable,
    WrongAnswer,
)
from cutstream.metrics import Metrics


class Readiness:
    """The checks of one worker. Every answer comes from what is known already: none waits for a server.

    `others` are further checks by name: whether the topics that every worker has a copy of were read, and whether a
    decoder process runs.
    """

    def __init__(
        self,
        loop: Loop,
        waits: Waits,
        others: Mapping[str, Callable[[], bool]],
        *,
        broker: Probe,
        triton: Probe,
        stopping: threading.Event,
        heartbeat_s: float,
    ) -> None:
        self._loop = loop
        self._waits = waits
        self._others = others
        self._broker = broker
        self._triton = triton
        self._stopping = stopping
        self._heartbeat_s = heartbeat_s

    def alive(self) -> dict[str, bool]:
        """Return whether the main loop turns, which a restart would cure."""
        return {"loop": self._loop.seconds_since_heartbeat() < self._heartbeat_s}

    def checks(self) -> dict[str, bool]:
        """Return the checks by name. A worker that halts asks no server any more, and knows only that."""
        loop, away = self._loop, self._waits.is_away
        if loop.halting is not None:
            return {"running": False}
        running = not self._stopping.is_set() and all(self.alive().values())
        return {
            "running": running,
            "group": running and loop.joined,
            "broker": self._broker.ok and loop.commits,
            "triton": self._triton.ok and not away(TritonUnavailable.code, WrongAnswer.code, ModelReloaded.code),
            "store": not away(StoreUnavailable.code),
            "memory": not away(DeviceOutOfMemory.code, BackgroundsFull.code, OutOfResources.code),
        } | {name: ready() for name, ready in self._others.items()}

    def answer(self) -> dict[str, Any]:
        """Return the checks, and why the worker has halted, if it has."""
        halting = self._loop.halting
        return self.checks() | ({"halted": {"code": halting.code, "message": str(halting)}} if halting else {})

    def observe(self, metrics: Metrics) -> None:
        """Have `cutstream_ready` say the same, whenever the metrics are read."""
        for name in self.checks():
            metrics.ready.labels(name).set_function(partial(self._value, name))

    def _value(self, name: str) -> float:
        return float(self.checks().get(name, nan))
