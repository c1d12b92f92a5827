from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from consumer.jobs import Decoded, Job, Segmentation, Segmented
from consumer.resources.latency import LatencyEstimator
from consumer.resources.micro_batcher import MicroBatcher
from consumer.resources.profile_selector import ProfileSelector
from cutstream.arrays.ops import ArrayOps
from cutstream.clients.triton import Ensemble, Triton
from cutstream.errors import InvalidOption
from cutstream.images import Matte, Pixels
from cutstream.matting.measure import uncertainty
from cutstream.matting.no_subject import has_subject
from cutstream.matting.refine import prepare
from cutstream.metrics import Metrics
from cutstream.settings import TritonSettings

Answer: TypeAlias = tuple[Matte, Matte | None]  # for one image: its matte, and its depth if the ensemble measures it


class Segment:
    """Have Triton find the subject. One micro-batch per profile is open at a time. Thread-safe."""

    def __init__(
        self,
        triton: Triton,
        selector: ProfileSelector,
        latency: LatencyEstimator,
        ops: ArrayOps,
        metrics: Metrics,
        settings: TritonSettings,
    ) -> None:
        self._triton = triton
        self._selector = selector
        self._latency = latency
        self._ops = ops
        self._metrics = metrics
        self._settings = settings
        self._batchers: dict[str, tuple[Ensemble, MicroBatcher[Pixels, Answer]]] = {}
        self._lock = threading.Lock()

    def __call__(self, job: Job, value: Decoded) -> Segmented:
        """Return the matte at the ensemble's size, empty if the photo has no subject (`has_subject`).

        Raises InvalidOption if a shadow needs depth and there is none.
        """
        recipe, ops = job.recipe, self._ops
        selection = self._selector.select(job.profile, recipe.hint, recipe.deadline)
        ensemble = self._triton.ensemble(selection.profile)
        needs_depth = recipe.composition.shadow is not None and recipe.composition.shadow.by_depth
        if needs_depth and not ensemble.measures_depth:
            raise InvalidOption(
                f"shadow.depth: profile {selection.profile!r} measures no depth; take one that does, such as 'depth'"
            )
        with ops.errors():
            small = prepare(value.image, ensemble.width, ensemble.height, ops)
            small = ops.to_host(small)  # sync: it travels to Triton in host memory
        with self._selector.segmenting(selection.profile):
            answer, measured = self._batcher(selection.profile, ensemble)(small)
        with ops.errors():
            matte = ops.to_device(answer)
            if not has_subject(small, answer, ensemble.min_sure_share, recipe.composition.region is not None):
                matte = ops.xp.zeros_like(matte)  # `compose` refuses it, unless the photo's own alpha is used instead
            depth = ops.to_device(measured) if needs_depth and measured is not None else None
            segmentation = Segmentation(selection, ensemble, uncertainty(matte, ops))
            return Segmented(value.image, matte, segmentation, depth, value.background)

    def _batcher(self, profile: str, ensemble: Ensemble) -> MicroBatcher[Pixels, Answer]:
        """Return the batcher of an ensemble. A reloaded one gets a new batcher: images of two sizes never mix."""
        with self._lock:
            known = self._batchers.get(profile)
            if known is None or known[0] != ensemble:
                known = self._batchers[profile] = (ensemble, self._new_batcher(profile, ensemble))
            return known[1]

    def _new_batcher(self, profile: str, ensemble: Ensemble) -> MicroBatcher[Pixels, Answer]:
        settings = self._settings

        def infer(images: Sequence[Pixels]) -> Sequence[Answer]:
            self._metrics.batch_items.observe(len(images))
            called = self._metrics.inference_seconds.labels(profile).time()
            with called, self._latency.measure(profile, len(images)):
                if ensemble.measures_depth:
                    return list(zip(*self._triton.infer_with_depth(ensemble, np.stack(images)), strict=True))
                return [(matte, None) for matte in self._triton.infer(ensemble, np.stack(images))]

        max_items = min(settings.batch_max_items, max(1, ensemble.max_batch))
        return MicroBatcher(infer, max_items, settings.batch_max_wait_s, settings.in_flight)
