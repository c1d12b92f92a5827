"""Reading and measuring the photos one by one, over the cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from cutstream.quality.scores import Scores, score
from evaluation.scoring.folder import Example, read_example, read_matte

FEW = 8  # so many are done before other processes have started

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Prediction:
    """The matte of one example. `time_ms` is the worker's work on it, where a worker made it."""

    example: Example
    matte: Path
    time_ms: float | None = None


def check_all(examples: Sequence[Example]) -> Iterator[None]:
    """One by one, whether photo and mask can be read and fit. Raises InvalidExamples for the first that does not."""
    return _over_the_cores(_check, examples)


def measure_all(predictions: Sequence[Prediction]) -> Iterator[Scores]:
    """In the order given, as they are ready. Raises InvalidExamples for a matte that cannot be read or does not fit."""
    return _over_the_cores(measure, predictions)


def measure(prediction: Prediction) -> Scores:
    pixels, truth = read_example(prediction.example)
    matte = read_matte(prediction.matte, pixels, prediction.example.photo)
    return score(pixels, truth, matte, prediction.time_ms)


def _check(example: Example) -> None:
    read_example(example)


def _over_the_cores(work: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    cores = len(os.sched_getaffinity(0))
    if len(items) <= FEW or cores == 1:
        yield from map(work, items)
        return
    # Started afresh rather than forked: by now this process may have the Kafka client's threads.
    with ProcessPoolExecutor(min(cores, len(items)), get_context("spawn")) as pool:
        try:
            yield from pool.map(work, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
