from __future__ import annotations

from typing import Any

import pytest

from consumer.resources.memory_budget import MemoryBudget, needed_bytes
from cutstream.compositing.specs import CompositionSpec
from cutstream.contract.messages import Request
from cutstream.contract.options import Background
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import ResolutionTooHigh
from cutstream.matting.exact_matting import METHODS
from cutstream.matting.specs import MattingSpec
from cutstream.settings import BYTES_PER_PIXEL


def composition_of(**options: Any) -> CompositionSpec:
    return parse_recipe(Request(image="a", **options)).composition


def test_an_amount_above_the_whole_budget_is_refused_and_names_the_setting() -> None:
    with pytest.raises(ResolutionTooHigh, match="CUTSTREAM_WORKER__MEMORY_BYTES"), MemoryBudget(10).reserve(11):
        pytest.fail("11 bytes of 10 were reserved")


# Peak bytes per pixel of the source, or of the canvas if there is one, measured on a photo of 24 megapixels.
MEASURED = [
    ({}, 15.2),
    ({"decontaminate": True}, 15.2),
    ({"outputs": ("cutout", "mask", "composite")}, 19.1),
    ({"outputs": ("composite",), "background": Background(image="x"), "shadow": "cast", "harmonise": "reinhard"}, 22.3),
    ({"outputs": ("composite",), "background": Background(color="transparent"), "shadow": "cast"}, 22.2),
    ({"outputs": ("cutout", "mask", "composite", "overlay", "background", "layers"), "shadow": "cast"}, 41.4),
    ({"scale": "50%"}, 19.2),
]


@pytest.mark.parametrize(("options", "peak"), MEASURED, ids=str)
def test_the_reservation_covers_the_measured_peak_with_at_most_half_in_reserve(
    options: dict[str, object], peak: float
) -> None:
    needed = needed_bytes(composition_of(**options), 1000) / 1000
    assert peak <= needed <= 1.5 * peak


def test_the_canvas_counts_with_its_own_size() -> None:
    small = composition_of(canvas="10x10", outputs=("composite",), shadow="drop")
    large = composition_of(canvas="1000x1000", outputs=("composite",), shadow="drop")
    assert needed_bytes(small, 1000) == 1000 * BYTES_PER_PIXEL + 100 * 20
    assert needed_bytes(large, 1000) == 1000 * BYTES_PER_PIXEL + 1_000_000 * 20


def test_an_exact_matting_needs_memory_of_its_own() -> None:
    without, fast = (needed_bytes(composition_of(), 1000, m) for m in (None, MattingSpec()))
    assert fast == without
    for method in ("closed_form", "knn"):
        assert needed_bytes(composition_of(), 1000, MattingSpec(method=method)) == without + METHODS[method].bytes


def test_a_reservation_is_observed_and_released_after_an_error() -> None:
    observed: list[float] = []
    budget = MemoryBudget(10, observed.append)
    with pytest.raises(KeyError), budget.reserve(7):
        raise KeyError
    assert observed[-1] == 0
    assert max(observed) == 7
