from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from consumer.jobs import Job, Segmented
from consumer.resources.micro_batcher import MicroBatcher
from consumer.resources.profile_selector import LatencyEstimator, ProfileSelector
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.triton import Triton
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import InvalidOption
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.measure import uncertainty
from cutstream.matting.refine import prepare
from cutstream.metrics import Metrics
from cutstream.settings import TritonSettings

Answer: TypeAlias = tuple[Matte, Matte | None]  # of one photo: its matte, and its depth where that is measured


class Segmenter:
    """One micro-batch per profile at a time is open; Triton batches across workers on top. Thread-safe."""

    def __init__(
        self,
        triton: Triton,
        auto: ProfileSelector,
        pace: LatencyEstimator,
        ops: ArrayOps,
        metrics: Metrics,
        settings: TritonSettings,
    ) -> None:
        self._triton = triton
        self._auto = auto
        self._pace = pace
        self._ops = ops
        self._metrics = metrics
        self._settings = settings
        self._gathers: dict[str, MicroBatcher[Pixels, Answer]] = {}
        self._lock = threading.Lock()

    def __call__(self, job: Job, image: Image) -> Segmented:
        """The matte is the ensemble's size. Raises InvalidOption where depth is wanted and not measured."""
        self._auto.choose(job)
        ensemble, ops = self._triton.ensemble(job.profile), self._ops
        shadow = parse_recipe(job.request).composition.shadow
        deep = shadow is not None and shadow.by_depth
        if deep and not ensemble.measures_depth:
            raise InvalidOption(
                f"shadow.depth: profile {job.profile!r} measures no depth; take one that does, such as 'depth'"
            )
        with ops.errors():
            small = prepare(image, ensemble.width, ensemble.height, ops)
            small = ops.to_host(small)  # sync: it travels to Triton in host memory
        with self._auto.segmenting(job):
            answer, measured = self._gather(job.profile)(small)
        with ops.errors():
            matte = ops.to_device(answer)
            depth = ops.to_device(measured) if deep and measured is not None else None
            return Segmented(image, matte, uncertainty(matte, ops), ensemble, depth)

    def _gather(self, profile: str) -> MicroBatcher[Pixels, Answer]:
        with self._lock:
            if profile not in self._gathers:
                self._gathers[profile] = self._new_gather(profile)
            return self._gathers[profile]

    def _new_gather(self, profile: str) -> MicroBatcher[Pixels, Answer]:
        ensemble, s = self._triton.ensemble(profile), self._settings

        def run(images: Sequence[Pixels]) -> Sequence[Answer]:
            self._metrics.batch_items.observe(len(images))
            with self._pace.measured(profile, len(images)):
                if ensemble.measures_depth:
                    return list(zip(*self._triton.infer_with_depth(ensemble, np.stack(images)), strict=True))
                return [(matte, None) for matte in self._triton.infer(ensemble, np.stack(images))]

        max_items = min(s.batch_max_items, max(1, ensemble.max_batch))
        return MicroBatcher(run, max_items, s.batch_max_wait_s, s.in_flight)
