"""Segment passes Triton's matte on, and its depth to the shadows that need it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from consumer.jobs import Decoded, Refined, Segmented
from consumer.resources.latency import LatencyEstimator
from consumer.resources.profile_selector import ProfileSelector
from consumer.stages.compose import Compose
from consumer.stages.segment import Segment
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.triton import Ensemble
from cutstream.clock import SystemClock
from cutstream.contract.options import Shadow
from cutstream.errors import InvalidOption, UnknownForeground
from cutstream.images import Image
from cutstream.metrics import Metrics
from cutstream.settings import ModelSettings, TritonSettings
from tests.support.jobs import job_of
from tests.support.models import disc_of, picture_with_blob

SIDE = 32
MATTE, DEPTH = np.full((SIDE, SIDE), 200, np.uint8), np.full((SIDE, SIDE), 90, np.uint8)
DEEP = Shadow(type="cast", depth=True)
DISC = picture_with_blob((40, 50), 25, side=90)


def segmented(
    measures_depth: bool, picture: np.ndarray = DISC, min_sure_share: float | None = None, **options: Any
) -> Segmented:
    ensemble = Ensemble(
        "cutout_depth",
        "1",
        width=SIDE,
        height=SIDE,
        max_batch=4,
        measures_depth=measures_depth,
        min_sure_share=min_sure_share,
    )
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
    return segment(job, Decoded(Image(picture)))


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
    assert models == {str(SIDE): (SIDE, SIDE), str(2 * SIDE): (2 * SIDE, 2 * SIDE)}
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


def test_the_matte_of_a_picture_without_a_subject_is_empty() -> None:
    wall = np.full((90, 90, 3), 200, np.uint8)
    assert not segmented(False, wall).matte.any()
    assert not segmented(False, wall, roi="10% 10% 50% 50%").matte.any()


def test_the_matte_of_a_network_that_is_not_sure_enough_is_empty_unless_a_region_is_given() -> None:
    assert not segmented(False, min_sure_share=0.03).matte.any()  # 200 everywhere is not sure
    np.testing.assert_array_equal(segmented(False, min_sure_share=0.03, roi="10% 10% 50% 50%").matte, MATTE)


def test_a_photo_without_a_subject_fails_unless_it_brings_its_own_alpha() -> None:
    """A logo may be white all over, and cut out already."""
    wall, logo = np.full((90, 90, 3), 255, np.uint8), disc_of((40, 50), 25, side=90).astype(np.uint8) * 255
    found, compose = segmented(False, wall), Compose(CpuOps())
    nothing = np.zeros((90, 90), np.uint8)
    with pytest.raises(UnknownForeground, match="no subject"):
        compose(job_of(), Refined(Image(wall), nothing, found.segmentation))
    composed = compose(job_of(), Refined(Image(wall, alpha=logo), nothing, found.segmentation))
    assert composed.findings.box == (15, 25, 66, 76)
