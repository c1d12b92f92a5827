from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from consumer.auto import Auto, Pace
from consumer.gather import Gather
from consumer.jobs import Job, Segmented
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.triton import Triton
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.measure import uncertainty
from cutstream.matting.refine import prepare
from cutstream.metrics import Metrics
from cutstream.settings import TritonSettings


class Segmenter:
    """One micro-batch per profile at a time is open; Triton batches across workers on top. Thread-safe."""

    def __init__(
        self, triton: Triton, auto: Auto, pace: Pace, ops: ArrayOps, metrics: Metrics, settings: TritonSettings
    ) -> None:
        self._triton = triton
        self._auto = auto
        self._pace = pace
        self._ops = ops
        self._metrics = metrics
        self._settings = settings
        self._gathers: dict[str, Gather[Pixels, Matte]] = {}
        self._lock = threading.Lock()

    def __call__(self, job: Job, image: Image) -> Segmented:
        """The matte is the ensemble's size."""
        self._auto.choose(job)
        ensemble, ops = self._triton.ensemble(job.profile), self._ops
        with ops.errors():
            small = ops.to_host(prepare(image, ensemble.width, ensemble.height, ops))
        with self._auto.segmenting(job):
            answer = self._gather(job.profile)(small)
        with ops.errors():
            matte = ops.to_device(answer)
            return Segmented(image, matte, uncertainty(matte, ops), ensemble)

    def _gather(self, profile: str) -> Gather[Pixels, Matte]:
        with self._lock:
            if profile not in self._gathers:
                self._gathers[profile] = self._new_gather(profile)
            return self._gathers[profile]

    def _new_gather(self, profile: str) -> Gather[Pixels, Matte]:
        ensemble = self._triton.ensemble(profile)
        s = self._settings

        def run(images: Sequence[Pixels]) -> Sequence[Matte]:
            self._metrics.batch_items.observe(len(images))
            with self._pace.measured(profile, len(images)):
                return list(self._triton.infer(ensemble, np.stack(images)))

        max_items = min(s.batch_max_items, max(1, ensemble.max_batch))
        return Gather(run, max_items, s.batch_max_wait_s, s.in_flight)
