"""Map a function over photos, on all cores where there are enough photos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

IN_PROCESS_LIMIT = 8  # so few photos are done before other processes have started

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@contextmanager
def process_mapper(count: int) -> Iterator[Mapper]:
    """Yield a function like `map` for `count` items: results keep the order of the items.

    It keeps its processes for many calls. For few items, or on one core, it is `map` itself.
    """
    cores = len(os.sched_getaffinity(0))
    if count <= IN_PROCESS_LIMIT or cores == 1:
        yield map
        return
    # Processes are spawned, not forked: by now this process may have the threads of a Kafka or Triton client.
    with ProcessPoolExecutor(min(cores, count), get_context("spawn")) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
