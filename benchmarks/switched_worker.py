"""A worker whose metrics SIGUSR1 switches off, and on again: `python -m benchmarks.switched_worker`.

While they are off, counters, gauges and histograms ignore what they are told, and children are not looked up by their
labels. While they are on, each of these calls is done TIMES times: once costs less than two turns differ by chance. The
numbers are wrong then, but nothing that a worker decides depends on them.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from consumer.__main__ import main

TIMES = 50

METHODS: dict[type, tuple[str, ...]] = {
    MetricWrapperBase: ("labels",),
    Counter: ("inc",),
    Gauge: ("inc", "dec", "set", "track_inprogress"),
    Histogram: ("observe",),
}


class Switch:
    """A signal handler that replaces the methods by ones that do nothing, and by ones that do all TIMES times."""

    def __init__(self) -> None:
        self._real = {(kind, name): getattr(kind, name) for kind, names in METHODS.items() for name in names}
        self.on = False
        self()

    def __call__(self, *signal_and_frame: object) -> None:
        self.on = not self.on
        for (kind, name), method in self._real.items():
            setattr(kind, name, _many(method) if self.on else _NOTHING[name])

    def restore(self) -> None:
        """Put the methods back as they are without a switch."""
        for (kind, name), method in self._real.items():
            setattr(kind, name, method)


def _many(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*given: Any, **named: Any) -> Any:
        for _ in range(TIMES):
            returned = method(*given, **named)
        return returned

    return call


def _same(metric: MetricWrapperBase, *labels: Any, **named: Any) -> MetricWrapperBase:
    return metric


def _ignore(metric: MetricWrapperBase, *values: Any, **named: Any) -> None:
    pass


def _no_block(metric: MetricWrapperBase) -> Any:
    return nullcontext()


_NOTHING = {name: _ignore for names in METHODS.values() for name in names} | {
    "labels": _same,
    "track_inprogress": _no_block,
}


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, Switch())
    sys.exit(main(sys.argv[1:]))
