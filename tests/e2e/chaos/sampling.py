"""What a worker process holds while it works: memory, descriptors, threads, children."""

from __future__ import annotations

import http.client
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import psutil

from tests.support.workers import WorkerProcess

WARM_UP = 0.25  # share of the samples that is left out at the beginning
BLOCKS = 8
LEAST = 2 * BLOCKS  # samples after the warm-up, without which nothing can be said
PER = 10_000  # requests
MOST_MISSED = 0.1  # share of the samples

Figures: TypeAlias = dict[str, float]


@dataclass
class Sampler:
    """Samples a worker in a thread. Each sample holds the time, the number of requests done, and the figures.

    `missed` says why samples could not be taken.
    """

    worker: WorkerProcess
    done: Callable[[], int]
    interval_s: float = 2.0
    metrics: tuple[str, ...] = ()
    samples: list[Figures] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def __enter__(self) -> Sampler:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def judge_missed(self) -> list[str]:
        """Return a sentence if so many samples are missing that what was not seen may matter."""
        wanted = len(self.samples) + len(self.missed)
        if len(self.missed) <= MOST_MISSED * wanted:
            return []
        return [f"{len(self.missed)} of {wanted} samples are missing, the last because of {self.missed[-1]}"]

    def _run(self) -> None:
        while not self._stop.wait(self.interval_s):
            try:
                figures = measure(psutil.Process(self.worker.process.pid))
                figures |= {name: self.worker.metric(name) for name in self.metrics}
            except (psutil.Error, OSError, http.client.HTTPException) as exc:
                self.missed.append(repr(exc))
                continue
            self.samples.append({"at_s": time.monotonic(), "done": self.done(), **figures})


def measure(process: psutil.Process) -> Figures:
    """Return the figures of a process. USS is the memory that it shares with no other process."""
    memory = process.memory_full_info()
    children = [uss for child in process.children(recursive=True) if (uss := _uss_mb(child)) is not None]
    return {
        "rss_mb": memory.rss / 1e6,
        "uss_mb": memory.uss / 1e6,
        "children_uss_mb": sum(children),
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(children),
    }


def _uss_mb(process: psutil.Process) -> float | None:
    try:
        return float(process.memory_full_info().uss) / 1e6
    except psutil.NoSuchProcess:
        return None  # it ended after it was listed


def warm(samples: Sequence[Figures]) -> list[Figures]:
    """Return the samples after the warm-up."""
    return list(samples[int(len(samples) * WARM_UP) :])


def enough(samples: Sequence[Figures]) -> bool:
    """Tell whether there are samples enough, and requests done between them, to tell what grows."""
    return len(warm(samples)) >= LEAST and samples[-1]["done"] > warm(samples)[0]["done"]


@dataclass(frozen=True)
class Growth:
    """How a figure grows per 10,000 requests, with the standard error of that."""

    slope: float
    error: float


def growth(samples: Sequence[Figures], name: str) -> Growth:
    """Fit a line to the medians of blocks of samples. Needs `enough` samples.

    Neighbouring samples are alike, so single ones would make the error look smaller than it is.
    """
    blocks = np.array_split([(sample["done"], sample[name]) for sample in warm(samples)], BLOCKS)
    done, values = np.array([np.median(block, axis=0) for block in blocks]).T
    spread = done - done.mean()
    with np.errstate(invalid="ignore", divide="ignore"):  # without progress between the blocks, both are NaN
        slope = float(spread @ values / (spread @ spread))
        left = values - values.mean() - slope * spread
        error = float(np.sqrt(left @ left / (BLOCKS - 2) / (spread @ spread)))
    return Growth(slope * PER, error * PER)


def grown(samples: Sequence[Figures], bounds: Mapping[str, float]) -> list[str]:
    """Return a sentence for each figure that clearly grows by more than its bound per 10,000 requests.

    One that cannot be told has a sentence, too: what is not measured must not pass.
    """
    if not enough(samples):
        return [f"{len(samples)} samples are too few to tell what grows: send more requests"]
    return [sentence for name, bound in bounds.items() if (sentence := _judge(name, growth(samples, name), bound))]


def _judge(name: str, grows: Growth, bound: float) -> str | None:
    figure = f"{name} grows by {grows.slope:.1f} ± {grows.error:.1f} per 10,000 requests"
    if not (math.isfinite(grows.slope) and math.isfinite(grows.error)):  # NaN would pass both comparisons below
        return f"{figure}, which is no figure: the samples of {name} or of the requests done are not usable"
    if grows.slope - 2 * grows.error > bound:
        return f"{figure}, more than {bound:g}"
    if grows.error > bound:
        return f"{figure}, too uncertain to compare with {bound:g}: send more requests"
    return None
