"""What candidates make of photos, over the cores."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from statistics import fmean, median
from typing import Any

import msgspec

from cutstream.arrays.cpu import CpuOps
from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import refinement_of
from cutstream.images import Image, Matte
from cutstream.matting.refine import refine
from cutstream.quality.alpha import mean_absolute_error
from cutstream.quality.contour import separation
from cutstream.quality.overlap import box_share, coverage, iou
from evaluation.scoring.measure import FEW
from evaluation.tuning.agreement import edge_agreement, edge_ranks
from evaluation.tuning.photos import Sample, read

Mapper = Callable[[Callable[[Sample], Any], Sequence[Sample]], Iterable[Any]]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one photo, or means over many (of `ms` the median). Those that need a mask are null where there is none."""

    coverage: float
    box_share: float
    ms: float
    edge_agreement: float
    iou: float | None = None
    boundary_f1: float | None = None
    mae: float | None = None


@contextmanager
def over_the_cores(count: int) -> Iterator[Mapper]:
    """A `map` that keeps its processes for many calls, where `count` photos are worth their start."""
    cores = len(os.sched_getaffinity(0))
    if count <= FEW or cores == 1:
        yield map
        return
    # Started afresh rather than forked: by now this process may have a client's threads.
    with ProcessPoolExecutor(min(cores, count), get_context("spawn")) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def measure(
    samples: Sequence[Sample], candidates: Sequence[RefineParameters], mapper: Mapper
) -> Iterator[list[Figures]]:
    """Each candidate's on one photo after the other."""
    yield from mapper(partial(_of_photo, candidates=tuple(candidates)), samples)


def mean(figures: Sequence[Figures]) -> Figures:
    """Of at least one photo."""
    names = [name for name in Figures.__struct_fields__ if getattr(figures[0], name) is not None]
    means = {name: fmean(getattr(one, name) for one in figures) for name in names}
    return Figures(**{**means, "ms": median(one.ms for one in figures)})


def _of_photo(sample: Sample, candidates: Sequence[RefineParameters]) -> list[Figures]:
    ops = CpuOps()
    pixels, truth = read(sample.photo)
    ranks = edge_ranks(pixels, ops.resize_linear(sample.matte, pixels.shape[1], pixels.shape[0]), ops)
    found = []
    for how in candidates:
        refinement = refinement_of(how)
        start = time.perf_counter()
        matte = refine(sample.matte, Image(pixels), refinement, ops)
        ms = (time.perf_counter() - start) * 1e3
        found.append(
            Figures(
                coverage=coverage(matte),
                box_share=box_share(matte),
                ms=ms,
                edge_agreement=edge_agreement(ranks, matte),
                **({} if truth is None else _against(matte, truth)),
            )
        )
    return found


def _against(matte: Matte, truth: Matte) -> dict[str, float]:
    return {
        "iou": iou(matte, truth),
        "boundary_f1": separation(matte, truth).boundary_f1(),
        "mae": mean_absolute_error(matte, truth),
    }
