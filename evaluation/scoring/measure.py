"""Read and score photos, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cutstream.quality.scores import Scores, score
from evaluation.folder import Example, read_example, read_matte
from evaluation.parallel import process_mapper

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Prediction:
    """The file of an example's matte. `time_ms` is the worker's processing time, where a worker made the matte."""

    example: Example
    matte: Path
    time_ms: float | None = None


def check_examples(examples: Sequence[Example]) -> Iterator[None]:
    """Read each photo and mask, and yield after each. Raises InvalidExamples at the first that cannot be used."""
    return _map(_check, examples)


def score_all(predictions: Sequence[Prediction]) -> Iterator[Scores]:
    """Yield the scores in the order of the predictions, as they become ready.

    Raises InvalidExamples for a matte that is unreadable or not of the photo's size.
    """
    return _map(score_prediction, predictions)


def score_prediction(prediction: Prediction) -> Scores:
    pixels, truth = read_example(prediction.example)
    matte = read_matte(prediction.matte, pixels, prediction.example.path)
    return score(pixels, truth, matte, prediction.time_ms)


def _check(example: Example) -> None:
    read_example(example)


def _map(work: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    with process_mapper(len(items)) as mapper:
        yield from mapper(work, items)
