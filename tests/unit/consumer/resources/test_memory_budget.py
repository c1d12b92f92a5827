from __future__ import annotations

import threading
from typing import Any

import pytest

from consumer.resources.memory_budget import MemoryBudget, needed_bytes
from cutstream.compositing.specs import CompositionSpec
from cutstream.contract.messages import Request
from cutstream.contract.options import Background
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import ResolutionTooHigh
from cutstream.settings import BYTES_PER_PIXEL


def composition_of(**options: Any) -> CompositionSpec:
    return parse_recipe(Request(image="a", **options)).composition


def started(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_what_could_never_fit_is_refused_by_name() -> None:
    with pytest.raises(ResolutionTooHigh, match="CUTSTREAM_WORKER__MEMORY_BYTES"), MemoryBudget(10).reserve(11):
        pytest.fail("reserved")


# Peaks per pixel of the source, and of the canvas where there is one, measured on a photo of 24 megapixels.
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
def test_what_a_photo_was_seen_to_hold_is_reserved_and_little_more(options: dict[str, object], peak: float) -> None:
    needed = needed_bytes(composition_of(**options), 1000) / 1000
    assert peak <= needed <= 1.5 * peak


def test_a_canvas_counts_by_its_own_size() -> None:
    small = composition_of(canvas="10x10", outputs=("composite",), shadow="drop")
    large = composition_of(canvas="1000x1000", outputs=("composite",), shadow="drop")
    assert needed_bytes(small, 1000) == 1000 * BYTES_PER_PIXEL + 100 * 20
    assert needed_bytes(large, 1000) == 1000 * BYTES_PER_PIXEL + 1_000_000 * 20


def test_use_is_observed_and_given_back_also_after_an_error() -> None:
    seen: list[float] = []
    budget = MemoryBudget(10, seen.append)
    with pytest.raises(KeyError), budget.reserve(7):
        raise KeyError
    assert seen == [7, 0]


def test_a_large_picture_is_not_starved_by_small_ones() -> None:
    budget, order = MemoryBudget(10), []
    release_first, large_waits = threading.Event(), threading.Event()

    def first():
        with budget.reserve(6):
            release_first.wait(10)

    def take(name, amount):
        with budget.reserve(amount):
            order.append(name)

    holder = started(first)
    while budget._used != 6:
        pass
    large = started(lambda: (large_waits.set(), take("large", 10)))
    while not budget._queue:
        pass
    small = started(lambda: take("small", 1))
    while len(budget._queue) < 2:
        pass
    release_first.set()
    for thread in (holder, large, small):
        thread.join(10)
    assert order == ["large", "small"]
