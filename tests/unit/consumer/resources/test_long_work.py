"""What takes long is told before it begins, and done from the retry topic only."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.micro.options import OPTIONS, recipe_of
from consumer.resources.long_work import LONG_S, LongWork, estimate_s
from cutstream.errors import TakesLong
from tests.support.jobs import job_of


def test_an_exact_matting_goes_on_from_the_retry_topic_one_at_a_time() -> None:
    counted: list[str] = []
    work, recipe = LongWork(16, counted.append), job_of(matting="knn").recipe
    with pytest.raises(TakesLong, match="knn"):
        work.expect(recipe, again=False)
    work.expect(recipe, again=True)
    assert counted == ["matting"]
    permit = work.permit(recipe, 1, again=True)
    assert permit is not None
    with permit.acquire(), pytest.raises(TimeoutError), permit.acquire(give_up=give_up):
        pass


@pytest.mark.parametrize("matting", [None, "fast"])
def test_other_mattings_are_done_where_they_are(matting: str | None) -> None:
    work, recipe = LongWork(1), job_of(matting=matting).recipe
    work.expect(recipe, again=False)
    assert work.permit(recipe, 24_000_000, again=False) is None


SCENE = {"background": {"blur": 100}, "shadow": "cast"}
ALL = ("cutout", "mask", "composite", "overlay", "background", "layers")


def test_heavy_work_goes_on_from_the_retry_topic_on_a_quarter_of_the_cores() -> None:
    counted: list[str] = []
    work = LongWork(8, counted.append)
    recipe = job_of(outputs=ALL, format="webp", quality=100, decontaminate=True).recipe
    with pytest.raises(TakesLong, match=r"may take \d\d s"):
        work.permit(recipe, 30_000_000, again=False)
    assert counted == ["heavy"]
    permit = work.permit(recipe, 30_000_000, again=True)
    assert permit is not None
    with permit.acquire(), permit.acquire(), pytest.raises(TimeoutError), permit.acquire(give_up=give_up):
        pass
    assert work.permit(recipe, 3_000_000, again=False) is None
    assert LongWork(1).permit(recipe, 30_000_000, again=True) is not None


@pytest.mark.parametrize(
    ("options", "megapixels", "is_long"),
    [
        ({}, 50, False),
        ({"outputs": ("cutout", "mask", "composite")}, 50, True),
        ({"outputs": ("cutout", "mask", "composite")}, 24, False),
        ({"format": "webp"}, 26, True),
        ({"format": "webp"}, 24, False),  # the photos of many cameras
        ({"outputs": ("layers",), "format": "zip", **SCENE}, 50, True),
        ({"outputs": ("layers",), "format": "zip", **SCENE}, 20, False),
        ({"outputs": ("composite",), **SCENE, "harmonise": "histogram"}, 50, True),
        ({"outputs": ("composite",), "background": {"blur": 1}}, 24, True),
        ({"outputs": ("background",)}, 50, False),
        ({"matting": "fast"}, 50, False),
        ({"matting": "fast", "decontaminate": True}, 50, True),
        ({"decontaminate": True}, 50, False),
        ({"perspective": {"baseline": "20% 90% 70% 80%"}, "shadow": "cast", "outputs": ("composite",)}, 50, True),
        ({"perspective": {"baseline": "20% 90% 70% 80%"}, "size": "hd"}, 50, False),
        ({"outputs": ALL, "format": "webp"}, 24, True),
        ({"outputs": ALL, "format": "webp", "size": "preview"}, 24, False),
        ({"outputs": ("composite",), "format": "webp", "canvas": "7000x7000"}, 1, True),
    ],
    ids=str,
)
def test_what_is_long_depends_on_pixels_outputs_and_formats(options: Any, megapixels: int, is_long: bool) -> None:
    assert (estimate_s(recipe_of({**options}), megapixels * 1_000_000) > LONG_S) is is_long


def test_every_option_of_the_benchmark_counts_no_less_than_was_measured() -> None:
    """On 50 megapixels of noise with edges everywhere, in seconds of one core (`benchmarks.micro.options`)."""
    measured = {
        "plain": 4.2,
        "fast matting wide": 4.1,
        "worst": 7.0,
        "histogram": 3.0,
        "decontaminate": 1.8,
        "inpaint telea": 3.0,
        "cast soft": 3.5,
        "cast depth": 3.8,
    }
    recipes = {name: recipe_of(OPTIONS[name]) for name in measured}
    assert all(estimate_s(recipes[name], 50_000_000) >= seconds for name, seconds in measured.items())


def test_what_holds_more_than_half_of_the_memory_goes_on_from_the_retry_topic() -> None:
    work, recipe = LongWork(4, budget_bytes=1_500_000_000), job_of().recipe
    assert work.permit(recipe, 50_000_000, again=False, memory_bytes=800_000_000) is None  # a plain cutout
    with pytest.raises(TakesLong, match="may hold 1,000,000,000 bytes"):
        work.permit(recipe, 10_000_000, again=False, memory_bytes=1_000_000_000)
    assert work.permit(recipe, 10_000_000, again=True, memory_bytes=1_000_000_000) is not None


def give_up() -> None:
    raise TimeoutError
