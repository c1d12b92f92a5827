"""Coordinate search: from the best preset, one parameter after the other, as long as one of them makes it better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from cutstream.contract.options import RefineParameters

VALUES: Mapping[str, tuple[Any, ...]] = {
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

Goodness = tuple[float, ...]
Judge = Callable[[Sequence[RefineParameters]], Sequence[Goodness]]


def search(start: Iterable[RefineParameters], judge: Judge, budget: int, seed: int) -> dict[RefineParameters, Goodness]:
    """What was judged, and how good each was found; the first of equals comes first.

    All of `start` is judged, then no more than `budget` in all. The same seed asks in the same order.
    """
    judged: dict[RefineParameters, Goodness] = {}

    def look_at(candidates: Iterable[RefineParameters]) -> RefineParameters:
        fresh = [how for how in dict.fromkeys(candidates) if how not in judged]
        fresh = fresh[: max(0, budget - len(judged))] if judged else fresh
        judged.update(zip(fresh, judge(fresh) if fresh else (), strict=True))
        return max(judged, key=lambda how: judged[how])

    random = Random(seed)
    best, before = look_at(start), None
    while best != before and len(judged) < budget:
        before = best
        for name in random.sample(list(VALUES), len(VALUES)):
            best = look_at(without_idle(replace(best, **{name: value})) for value in VALUES[name])
    return judged


def without_idle(how: RefineParameters) -> RefineParameters:
    """Sizes that no step uses are the default's, so that what does the same is tried once."""
    if not how.dilate:
        how = replace(how, dilate_kernel=0)
    if not (how.close or how.open or (how.dilate and not how.dilate_kernel)):
        how = replace(how, kernel=RefineParameters().kernel)
    return how
