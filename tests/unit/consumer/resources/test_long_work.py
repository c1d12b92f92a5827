"""What takes long is told before it begins, and done from the retry topic only."""

from __future__ import annotations

from typing import Any

import pytest

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
    assert work.permit(recipe, 4_000_000, again=False) is None
    assert LongWork(1).permit(recipe, 30_000_000, again=True) is not None


@pytest.mark.parametrize(
    ("options", "megapixels", "is_long"),
    [
        ({}, 50, False),
        ({"outputs": ("cutout", "mask", "composite")}, 50, False),
        ({"format": "webp"}, 24, False),
        ({"outputs": ALL, "format": "webp"}, 24, True),
        ({"outputs": ALL, "format": "webp", "size": "preview"}, 24, False),
        ({"outputs": ("composite",), "format": "webp", "canvas": "7000x7000"}, 1, True),
    ],
    ids=str,
)
def test_what_is_long_depends_on_pixels_outputs_and_formats(options: Any, megapixels: int, is_long: bool) -> None:
    assert (estimate_s(job_of(**options).recipe, megapixels * 1_000_000) > LONG_S) is is_long


def give_up() -> None:
    raise TimeoutError
