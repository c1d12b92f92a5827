"""Pipelines that the type checker must refuse: mypy reports each `ignore` below that is no longer needed."""

from __future__ import annotations

from consumer.jobs import Decoded, Fetched, Job, Stored
from consumer.resources.priority_semaphore import PrioritySemaphore
from consumer.runner import Pipeline, Stage
from cutstream.contract.recipe import Recipe

SLOTS = PrioritySemaphore(1)


def fetch(job: Job, recipe: Recipe) -> Fetched:
    raise NotImplementedError


def decode(job: Job, fetched: Fetched) -> Decoded:
    raise NotImplementedError


FETCH = Stage[Recipe, Fetched]("fetch", fetch, SLOTS)
DECODE = Stage[Fetched, Decoded]("decode", decode, SLOTS)

IN_ORDER: Pipeline[Recipe, Decoded] = FETCH | DECODE

DECODE | FETCH  # type: ignore[operator]  # two stages in the wrong order
FETCH | DECODE | DECODE  # type: ignore[operator]  # a stage twice
Stage[Recipe, Fetched]("decode", decode, SLOTS)  # type: ignore[arg-type]  # a function that takes something else
UNFINISHED: Pipeline[Recipe, Stored] = FETCH | DECODE  # type: ignore[operator]  # a stage is missing at the end
