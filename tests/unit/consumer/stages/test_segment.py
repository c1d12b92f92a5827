"""What segment asks of Triton, and what it makes of the answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from consumer.jobs import Job, Segmented
from consumer.resources.profile_selector import LatencyEstimator, ProfileSelector
from consumer.stages.segment import Segmenter
from cutstream.arrays.cpu import CpuOps
from cutstream.clients.kafka import Partition, Record
from cutstream.clients.triton import Ensemble
from cutstream.clock import SystemClock
from cutstream.contract.messages import Request
from cutstream.contract.options import Shadow
from cutstream.errors import InvalidOption
from cutstream.images import Image
from cutstream.metrics import Metrics
from cutstream.settings import ModelSettings, TritonSettings

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
    pace = LatencyEstimator(triton, clock)
    segmenter = Segmenter(
        triton,
        ProfileSelector(ModelSettings(), pace, metrics, clock),
        pace,
        CpuOps(),
        metrics,
        TritonSettings(batch_max_wait_s=0),
    )
    request = Request(image="file:///a.png", outputs=("composite",), **options)
    job = Job(record=Record(Partition("requests", 0), 7, 0, None, b"", []), request=request, id="a", profile="depth")
    return segmenter(job, Image(np.zeros((20, 30, 3), np.uint8)))


@pytest.mark.parametrize("measures_depth", [False, True])
def test_the_matte_is_tritons(measures_depth: bool) -> None:
    found = segmented(measures_depth)
    np.testing.assert_array_equal(found.matte, MATTE)
    assert found.depth is None


def test_depth_goes_on_to_shadows_that_ask_for_it() -> None:
    np.testing.assert_array_equal(segmented(True, shadow=DEEP).depth, DEPTH)
    assert segmented(True, shadow="cast").depth is None


def test_a_profile_without_depth_has_none_for_shadows() -> None:
    with pytest.raises(InvalidOption, match="'depth' measures no depth"):
        segmented(False, shadow=DEEP)
