"""Each device against the CPU, which is the definition, on pictures and parameters of any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cutstream.arrays.cpu import CpuOps
from cutstream.images import Image
from cutstream.matting.alpha_matting import matting
from cutstream.matting.refine import ellipse, refine
from cutstream.options import Matting, RefineParameters
from tests.support.back_ends import DEVICES, FromHost, back_end
from tests.support.tolerances import APART

CPU = CpuOps()
# A compiled kernel is there or not: the first example of a run may build it.
examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)
seeds = st.integers(0, 2**32 - 1)
odd_sides = st.integers(0, 8).map(lambda radius: 2 * radius + 1)
footprints = st.one_of(
    st.tuples(odd_sides, odd_sides).map(lambda shape: np.ones(shape, np.uint8)),
    odd_sides.map(ellipse),
    st.tuples(odd_sides, odd_sides)
    .flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))
    .filter(np.any),
)


@pytest.fixture(params=DEVICES)
def ops(request: pytest.FixtureRequest) -> FromHost:
    return FromHost(back_end(request.param))


def picture(size: Any, seed: int, *channels: int) -> Any:
    values = np.random.default_rng(seed).integers(-64, 320, (*size, *channels))
    return np.clip(values, 0, 255).astype(np.uint8)


def agree(name: str, ops: FromHost, *arguments: Any) -> None:
    expected, made = getattr(CPU, name)(*arguments), getattr(ops, name)(*arguments)
    for theirs, ours in zip(
        *((each if isinstance(each, tuple) else (each,)) for each in (expected, made)), strict=True
    ):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours.astype(float), theirs.astype(float), rtol=0, atol=APART[name])


@examples
@given(size=sizes, target=sizes, seed=seeds, channels=st.sampled_from([(), (3,), (4,)]))
def test_resize(ops: FromHost, size: Any, target: Any, seed: int, channels: Any) -> None:
    pixels = picture(size, seed, *channels)
    for name in ("resize_area", "resize_linear"):
        agree(name, ops, pixels, *target)


@examples
@given(size=sizes, window=st.tuples(odd_sides, odd_sides), seed=seeds)
def test_box(ops: FromHost, size: Any, window: Any, seed: int) -> None:
    agree("box", ops, np.random.default_rng(seed).random(size, np.float32), *window)


@examples
@given(size=sizes, kernel=st.integers(0, 49).map(lambda radius: 2 * radius + 1), seed=seeds)
def test_gaussian(ops: FromHost, size: Any, kernel: int, seed: int) -> None:
    agree("gaussian", ops, picture(size, seed), kernel)


@examples
@given(size=sizes, footprint=footprints, times=st.integers(0, 4), seed=seeds)
def test_morphology(ops: FromHost, size: Any, footprint: Any, times: int, seed: int) -> None:
    for name in ("erode", "dilate"):
        agree(name, ops, picture(size, seed), footprint, times)


@examples
@given(size=sizes, grid=sizes, seed=seeds)
def test_local_linear(ops: FromHost, size: Any, grid: Any, seed: int) -> None:
    slopes = np.random.default_rng(seed).normal(0, 1, (*grid, 4)) * [1, 1, 1, 200]
    agree("local_linear", ops, slopes.astype(np.float32), picture(size, seed, 3))


@examples
@given(size=sizes, above=st.integers(0, 255), seed=seeds)
def test_measuring(ops: FromHost, size: Any, above: int, seed: int) -> None:
    matte = picture(size, seed)
    assert ops.bounds(matte, above) == CPU.bounds(matte, above)
    agree("histogram", ops, matte)


@examples
@given(size=sizes, shares=st.tuples(*[st.floats(0, 1)] * 2), seed=seeds)
def test_shrink(ops: FromHost, size: Any, shares: Any, seed: int) -> None:
    height, width = (max(1, round(side * share)) for side, share in zip(size, shares, strict=True))
    agree("shrink", ops, picture(size, seed, 3), picture(size, seed + 1), width, height)


@examples
@given(size=sizes, colour=st.tuples(*[st.integers(0, 255)] * 3), seed=seeds)
def test_compositing(ops: FromHost, size: Any, colour: Any, seed: int) -> None:
    pixels, alpha = picture(size, seed, 3), picture(size, seed + 1)
    agree("rgba", ops, pixels, alpha)
    agree("blend", ops, pixels, alpha, colour)
    agree("over", ops, pixels, alpha, picture(size, seed + 2, 3))


@examples
@given(size=sizes, channels=st.sampled_from([(), (3,), (4,)]), seed=seeds)
def test_lookup(ops: FromHost, size: Any, channels: Any, seed: int) -> None:
    agree("lookup", ops, picture(size, seed, *channels), picture((256,), seed + 1, *channels))


@examples
@given(size=sizes, threshold=st.integers(0, 255), seed=seeds)
def test_shapes_in_a_matte(ops: FromHost, size: Any, threshold: int, seed: int) -> None:
    matte = picture(size, seed)
    agree("largest", ops, matte, threshold)
    agree("distance", ops, np.where(matte > threshold, matte, 0).astype(np.uint8))


@examples
@given(size=sizes, grid=sizes, seed=seeds, how=st.sampled_from(["soft", "base", "expanded", RefineParameters(blur=9)]))
def test_refinement(ops: FromHost, size: Any, grid: Any, seed: int, how: Any) -> None:
    """The whole way of the matte, element-wise mathematics included."""
    pixels, matte = picture(size, seed, 3), picture(grid, seed + 1)
    photo = Image(ops.ops.to_device(pixels))
    made = ops.fetched(refine(ops.ops.to_device(matte), photo, how, ops.ops))
    difference = np.abs(made.astype(int) - refine(matte, Image(pixels), how, CPU))
    assert difference.max() <= APART["refine"]


@examples
@given(size=sizes, seed=seeds, reach=st.integers(0, 60))
def test_matting(ops: FromHost, size: Any, seed: int, reach: int) -> None:
    pixels, matte = picture(size, seed, 3), picture(size, seed + 1)
    photo, how = Image(ops.ops.to_device(pixels)), Matting(erode=reach, dilate=reach)
    made = ops.fetched(matting(ops.ops.to_device(matte), photo, how, ops.ops))
    difference = np.abs(made.astype(int) - matting(matte, Image(pixels), how, CPU))
    assert difference.max() <= APART["fast_matting"]
