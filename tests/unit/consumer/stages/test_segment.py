"""Segment passes Triton's matte on, and its depth to the shadows that need it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from consumer.jobs import Decoded, Segmented
from consumer.resources.latency import LatencyEstimator
from consumer.resources.profile_selector import ProfileSelector
from consumer.stages.segment import Segment
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Ensemble
from cutstream.clock import SystemClock
from cutstream.contract.options import Shadow
from cutstream.errors import InvalidOption
from cutstream.images import Image
from cutstream.metrics import Metrics
from cutstream.settings import ModelSettings, TritonSettings
from tests.support.jobs import job_of

SIDE = 16
MATTE, DEPTH = np.full((SIDE, SIDE), 200, np.uint8), np.full((SIDE, SIDE), 90, np.uint8)
DEEP = Shadow(type="cast", depth=True)


def segmented(measures_depth: bool, **options: Any) -> Segmented:
    ensemble = Ensemble("cutout_depth", "1", width=SIDE, height=SIDE, max_batch=4, measures_depth=measures_depth)
    triton: Any = SimpleNamespace(
        ensemble=lambda profile: ensemble,
        infer=lambda ensemble, images: np.stack([MATTE for _ in images]),
        infer_with_depth=lambda ensemble, images: tuple(np.stack([plane for _ in images]) for plane in (MATTE, DEPTH)),
    )
    metrics, clock = Metrics(), SystemClock()
    latency = LatencyEstimator(triton, clock)
    segment = Segment(
        triton,
        ProfileSelector(ModelSettings(), latency, metrics, clock),
        latency,
        CpuOps(),
        metrics,
        TritonSettings(batch_max_wait_s=0),
    )
    job = job_of(profile="depth", outputs=("composite",), **options)
    return segment(job, Decoded(Image(np.zeros((20, 30, 3), np.uint8))))


def test_images_of_a_reloaded_ensemble_never_share_a_batch_with_older_ones() -> None:
    sizes = iter((SIDE, 2 * SIDE))
    asked: list[tuple[int, ...]] = []

    def ensemble(profile: str) -> Ensemble:
        side = next(sizes)
        return Ensemble("cutout_fast", "1", width=side, height=side, max_batch=8, digest=str(side))

    def infer(ensemble: Ensemble, images: np.ndarray) -> np.ndarray:
        assert images.shape[1:3] == (ensemble.height, ensemble.width)
        asked.append(images.shape)
        return images[..., 0]

    triton: Any = SimpleNamespace(ensemble=ensemble, infer=infer)
    metrics, clock = Metrics(), SystemClock()
    latency = LatencyEstimator(triton, clock)
    selector = ProfileSelector(ModelSettings(), latency, metrics, clock)
    segment = Segment(triton, selector, latency, CpuOps(), metrics, TritonSettings(batch_max_wait_s=1))
    value = Decoded(Image(np.zeros((20, 30, 3), np.uint8)))
    with ThreadPoolExecutor(2) as threads:
        results = [threads.submit(segment, job_of(), value) for _ in range(2)]
        models = {future.result().segmentation.model.digest: future.result().matte.shape for future in results}
    assert models == {"16": (SIDE, SIDE), "32": (2 * SIDE, 2 * SIDE)}
    assert sorted(asked) == [(1, SIDE, SIDE, 3), (1, 2 * SIDE, 2 * SIDE, 3)]


@pytest.mark.parametrize("measures_depth", [False, True])
def test_the_matte_comes_from_triton(measures_depth: bool) -> None:
    result = segmented(measures_depth)
    np.testing.assert_array_equal(result.matte, MATTE)
    assert result.depth is None


def test_depth_is_passed_on_only_to_shadows_that_need_it() -> None:
    np.testing.assert_array_equal(segmented(True, shadow=DEEP).depth, DEPTH)
    assert segmented(True, shadow="cast").depth is None


def test_a_shadow_that_needs_depth_is_refused_with_a_profile_without_depth() -> None:
    with pytest.raises(InvalidOption, match="'depth' measures no depth"):
        segmented(False, shadow=DEEP)
