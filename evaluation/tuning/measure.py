"""Refine the mattes of photos with each candidate and measure the results, on all cores."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import fmean, median

import msgspec

from cutstream.arrays.cpu import CpuOps
from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import refinement_of
from cutstream.images import Image, Matte
from cutstream.matting.refine import refine
from cutstream.quality.alpha import mean_absolute_error
from cutstream.quality.contour import separation
from cutstream.quality.overlap import box_share, coverage, iou
from evaluation.parallel import Mapper
from evaluation.tuning.agreement import edge_agreement, edge_ranks
from evaluation.tuning.photos import Sample, read_photo_and_mask


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Measures of one photo, or means over many photos (the median of `ms`).

    `iou`, `boundary_f1` and `mae` are None for photos without a true mask.
    """

    coverage: float
    box_share: float
    ms: float
    edge_agreement: float
    iou: float | None = None
    boundary_f1: float | None = None
    mae: float | None = None


def measure_candidates(
    samples: Sequence[Sample], candidates: Sequence[RefineParameters], mapper: Mapper
) -> Iterator[list[Figures]]:
    """Yield, for one photo after the other, the figures of each candidate."""
    yield from mapper(partial(_measure_photo, candidates=tuple(candidates)), samples)


def average(figures: Sequence[Figures]) -> Figures:
    """Average the figures of at least one photo."""
    names = [name for name in Figures.__struct_fields__ if getattr(figures[0], name) is not None]
    means = {name: fmean(getattr(photo, name) for photo in figures) for name in names}
    return Figures(**{**means, "ms": median(photo.ms for photo in figures)})


def _measure_photo(sample: Sample, candidates: Sequence[RefineParameters]) -> list[Figures]:
    ops = CpuOps()
    pixels, truth = read_photo_and_mask(sample.photo)
    ranks = edge_ranks(pixels, ops.resize_linear(sample.matte, pixels.shape[1], pixels.shape[0]), ops)
    figures = []
    for parameters in candidates:
        refinement = refinement_of(parameters)
        start = time.perf_counter()
        matte = refine(sample.matte, Image(pixels), refinement, ops)
        ms = (time.perf_counter() - start) * 1e3
        figures.append(
            Figures(
                coverage=coverage(matte),
                box_share=box_share(matte),
                ms=ms,
                edge_agreement=edge_agreement(ranks, matte),
                **({} if truth is None else _compare_with_truth(matte, truth)),
            )
        )
    return figures


def _compare_with_truth(matte: Matte, truth: Matte) -> dict[str, float]:
    return {
        "iou": iou(matte, truth),
        "boundary_f1": separation(matte, truth).boundary_f1(),
        "mae": mean_absolute_error(matte, truth),
    }
