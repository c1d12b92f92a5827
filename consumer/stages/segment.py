from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from consumer.auto import Auto, Pace
from consumer.gather import Gather
from consumer.jobs import Job, Segmented
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.triton import Triton
from cutstream.errors import InvalidOption
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.measure import uncertainty
from cutstream.matting.refine import prepare
from cutstream.matting.shadow import wanted_shadow
from cutstream.metrics import Metrics
from cutstream.settings import TritonSettings

Answer: TypeAlias = tuple[Matte, Matte | None]  # of one photo: its matte, and its depth where that is asked for


class Segmenter:
    """One micro-batch per profile at a time is open, with depth another; Triton batches across workers on top.
    Thread-safe."""

    def __init__(
        self, triton: Triton, auto: Auto, pace: Pace, ops: ArrayOps, metrics: Metrics, settings: TritonSettings
    ) -> None:
        self._triton = triton
        self._auto = auto
        self._pace = pace
        self._ops = ops
        self._metrics = metrics
        self._settings = settings
        self._gathers: dict[tuple[str, bool], Gather[Pixels, Answer]] = {}
        self._lock = threading.Lock()

    def __call__(self, job: Job, image: Image) -> Segmented:
        """The matte is the ensemble's size. Raises InvalidOption where depth is wanted and not measured."""
        self._auto.choose(job)
        ensemble, ops = self._triton.ensemble(job.profile), self._ops
        shadow = wanted_shadow(job.request.shadow)
        deep = shadow is not None and shadow.depth
        if deep and not ensemble.measures_depth:
            raise InvalidOption(
                f"shadow.depth: profile {job.profile!r} measures no depth; take one that does, such as 'depth'"
            )
        with ops.errors():
            small = prepare(image, ensemble.width, ensemble.height, ops)
            small = ops.to_host(small)  # sync: it travels to Triton in host memory
        with self._auto.segmenting(job):
            answer, measured = self._gather(job.profile, deep)(small)
        with ops.errors():
            matte = ops.to_device(answer)
            depth = None if measured is None else ops.to_device(measured)
            return Segmented(image, matte, uncertainty(matte, ops), ensemble, depth)

    def _gather(self, profile: str, deep: bool) -> Gather[Pixels, Answer]:
        with self._lock:
            key = profile, deep
            if key not in self._gathers:
                self._gathers[key] = self._new_gather(profile, deep)
            return self._gathers[key]

    def _new_gather(self, profile: str, deep: bool) -> Gather[Pixels, Answer]:
        ensemble, s = self._triton.ensemble(profile), self._settings

        def run(images: Sequence[Pixels]) -> Sequence[Answer]:
            self._metrics.batch_items.observe(len(images))
            with self._pace.measured(profile, len(images)):
                if deep:
                    return list(zip(*self._triton.infer_with_depth(ensemble, np.stack(images)), strict=True))
                return [(matte, None) for matte in self._triton.infer(ensemble, np.stack(images))]

        max_items = min(s.batch_max_items, max(1, ensemble.max_batch))
        return Gather(run, max_items, s.batch_max_wait_s, s.in_flight)
