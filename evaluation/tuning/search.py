"""Coordinate search: start at the best preset and vary one parameter after the other while that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from cutstream.contract.options import RefineParameters

VALUES: Mapping[str, tuple[Any, ...]] = {
    "fade_islands": (False, True),
    "kernel": (3, 5, 7, 9, 13),
    "close": (0, 1, 2, 4),
    "open": (0, 1, 2, 4),
    "blur": (0, 3, 5, 9, 15),
    "threshold": (None, 80, 100, 115, 127, 140, 150, 160, 180),
    "dilate_kernel": (0, 3, 5, 7),
    "dilate": (0, 1, 2, 3),
    "edges": ("linear", "soft"),
    "keep_largest": (False, True),
    "fill_holes": (False, True),
    "feather": (0, 3, 7),
}

RankKey = tuple[float, ...]  # compared element by element; more is better
Judge = Callable[[Sequence[RefineParameters]], Sequence[RankKey]]


def search(start: Iterable[RefineParameters], judge: Judge, budget: int, seed: int) -> dict[RefineParameters, RankKey]:
    """Return every candidate that was judged, with its rank key, in the order of judging.

    All of `start` is judged first, then others, up to `budget` in all. The same seed gives the same order. Of equally
    good candidates the first one judged counts as the best.
    """
    judged: dict[RefineParameters, RankKey] = {}

    def judge_new(candidates: Iterable[RefineParameters]) -> RefineParameters:
        fresh = [parameters for parameters in dict.fromkeys(candidates) if parameters not in judged]
        fresh = fresh[: max(0, budget - len(judged))] if judged else fresh
        judged.update(zip(fresh, judge(fresh) if fresh else (), strict=True))
        return max(judged, key=lambda parameters: judged[parameters])

    random = Random(seed)
    best, before = judge_new(start), None
    while best != before and len(judged) < budget:
        before = best
        for name in random.sample(list(VALUES), len(VALUES)):
            best = judge_new(drop_unused_sizes(replace(best, **{name: value})) for value in VALUES[name])
    return judged


def drop_unused_sizes(parameters: RefineParameters) -> RefineParameters:
    """Reset the sizes that no step uses, so that no two candidates have the same effect."""
    if not parameters.dilate:
        parameters = replace(parameters, dilate_kernel=0)
    if not (parameters.close or parameters.open or (parameters.dilate and not parameters.dilate_kernel)):
        parameters = replace(parameters, kernel=RefineParameters().kernel)
    return parameters
