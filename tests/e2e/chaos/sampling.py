"""What a worker process holds while it works: memory, descriptors, threads, children."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import psutil

from tests.support.workers import WorkerProcess


@dataclass
class Sampler:
    """Samples a worker in a thread. Each sample holds the time, the number of requests done, and the figures."""

    worker: WorkerProcess
    done: Callable[[], int]
    interval_s: float = 2.0
    metrics: tuple[str, ...] = ()
    samples: list[dict[str, float]] = field(default_factory=list)

    def __enter__(self) -> Sampler:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        process = psutil.Process(self.worker.process.pid)
        while not self._stop.wait(self.interval_s):
            figures = measure(process) | {name: self.worker.metric(name) for name in self.metrics}
            self.samples.append({"at_s": time.monotonic(), "done": self.done(), **figures})


def measure(process: psutil.Process) -> dict[str, float]:
    """Return the figures of a process. PSS counts a page that n processes share as 1/n."""
    memory = process.memory_full_info()
    children = process.children(recursive=True)
    return {
        "rss_mb": memory.rss / 1e6,
        "pss_mb": memory.pss / 1e6,
        "children_pss_mb": sum(child.memory_full_info().pss for child in children) / 1e6,
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(children),
    }


def growth(samples: list[dict[str, float]], name: str, warm_up: float = 0.25) -> float:
    """Return the slope of a figure after the warm-up, by linear fit, per 10,000 requests."""
    warm = samples[int(len(samples) * warm_up) :]
    if len(warm) < 2:
        return 0.0
    slope, _ = np.polyfit([sample["done"] for sample in warm], [sample[name] for sample in warm], 1)
    return float(slope) * 10_000


def exceeded(samples: list[dict[str, float]], bounds: Mapping[str, float]) -> list[str]:
    """Return a sentence for each figure that grows by more than its bound per 10,000 requests."""
    slopes = {name: growth(samples, name) for name in bounds}
    return [
        f"{name} grows by {slope:.1f} per 10,000 requests, more than {bounds[name]:g}"
        for name, slope in slopes.items()
        if slope > bounds[name]
    ]
