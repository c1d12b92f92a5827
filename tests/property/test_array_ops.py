"""Each device against the CPU, which is the definition, on pictures and parameters of any shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.harmonise import harmonise
from cutstream.compositing.overlay import overlay
from cutstream.compositing.shadows.shadow import render_shadow
from cutstream.compositing.specs import HarmoniseSpec, Light, ShadowSpec
from cutstream.images import Image
from cutstream.matting.alpha_matting import estimate_alpha
from cutstream.matting.foreground import estimate_foreground
from cutstream.matting.presets import PRESETS
from cutstream.matting.refine import ellipse, prepare, refine
from cutstream.matting.specs import MattingSpec, Refinement
from tests.support.back_ends import DEVICES, FromHost, back_end
from tests.support.tolerances import APART

CPU = CpuOps()
EXPLICIT = (
    Refinement(blur=9),
    Refinement(edges="soft", close=1, dilate=1),
    Refinement(edges="soft", blur=5, feather=9),
    Refinement(keep_largest=True, fill_holes=True),
    Refinement(threshold=100, keep_largest=True, fill_holes=True, feather=5, scale="none"),
)
# A compiled kernel is there or not: the first example of a run may build it.
examples = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

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


def linear_weights(source: int, target: int) -> np.ndarray:
    at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    return np.clip(1 - np.abs(at[:, None] - np.arange(source)), 0, None)


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


turns = st.builds(
    lambda *values: np.array([*values, 1.0]).reshape(3, 3),
    *[st.floats(-2, 2), st.floats(-2, 2), st.floats(-40, 40)] * 2,
    *[st.floats(-0.01, 0.01)] * 2,  # with sides up to 40, w stays above 0.2
)


@examples
@given(size=sizes, target=sizes, matrix=turns, seed=seeds, channels=st.sampled_from([(), (3,), (4,)]))
def test_warp(ops: FromHost, size: Any, target: Any, matrix: Any, seed: int, channels: Any) -> None:
    agree("warp", ops, picture(size, seed, *channels), matrix, *target)


@examples
@given(size=sizes, window=st.tuples(odd_sides, odd_sides), seed=seeds)
def test_box(ops: FromHost, size: Any, window: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    agree("box", ops, random.random(size, np.float32), *window)
    whole = random.integers(0, 255**2, size, np.uint16, endpoint=True)
    np.testing.assert_allclose(ops.box(whole, *window), CPU.box(whole, *window), rtol=1e-6)


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
@given(size=sizes, window=st.tuples(odd_sides, odd_sides), noise=st.floats(0.5, 100, width=32), seed=seeds)
def test_fit_colours(ops: FromHost, size: Any, window: Any, noise: float, seed: int) -> None:
    guide, matte = picture(size, seed, 3), picture(size, seed + 1)
    made, expected = (each.fit_colours(guide, matte, *window, np.float32(noise)) for each in (ops, CPU))
    values = [(fits[..., :3] * guide).sum(axis=-1) + fits[..., 3] for fits in (made, expected)]
    np.testing.assert_allclose(*values, rtol=0, atol=APART["fit_colours"])


@examples
@given(size=sizes, grid=sizes, seed=seeds)
def test_local_linear(ops: FromHost, size: Any, grid: Any, seed: int) -> None:
    slopes = np.random.default_rng(seed).normal(0, 1, (*grid, 4)) * [1, 1, 1, 200]
    agree("local_linear", ops, slopes.astype(np.float32), picture(size, seed, 3))


@examples
@given(size=st.tuples(*[st.integers(1, 150)] * 2), grid=sizes, share=st.floats(0, 1), seed=seeds)
def test_local_linear_leaves_out_only_what_saturates(size: Any, grid: Any, share: float, seed: int) -> None:
    """Most of the grid is far below 0 or above 255, as around a real subject."""
    random = np.random.default_rng(seed)
    steep = random.normal(0, 1, (*grid, 4)) * [1, 1, 1, 200]
    flat = np.array([0.0, 0, 0, 1]) * np.where(random.random(grid) < 0.5, -30, 290)[..., None]
    flat += random.normal(0, 0.02, flat.shape)
    coefficients = np.where(random.random(grid)[..., None] < share, steep, flat).astype(np.float32)
    pixels = picture(size, seed, 3)
    rows, columns = (linear_weights(source, target) for source, target in zip(grid, size, strict=True))
    slopes = np.einsum("yr,xc,rck->yxk", rows, columns, coefficients.astype(np.float64))
    exact = (slopes[..., :3] * pixels).sum(axis=-1) + slopes[..., 3]
    made = CPU.local_linear(coefficients, pixels)
    np.testing.assert_allclose(made.astype(float), np.clip(exact, 0, 255), rtol=0, atol=0.52)


@examples
@given(size=sizes, above=st.integers(0, 255), seed=seeds)
def test_measuring(ops: FromHost, size: Any, above: int, seed: int) -> None:
    matte = picture(size, seed)
    assert ops.bounding_box(matte, above) == CPU.bounding_box(matte, above)
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
    agree("composite_over", ops, pixels, alpha, picture(size, seed + 2, 3))


@examples
@given(size=sizes, grid=sizes, times=st.integers(0, 3), regularisation=st.floats(2**-10, 1), seed=seeds)
def test_foreground_estimation(
    ops: FromHost, size: Any, grid: Any, times: int, regularisation: float, seed: int
) -> None:
    pixels, alpha = picture(size, seed, 3), picture(size, seed + 1)
    colours = np.random.default_rng(seed).uniform(0, 255, (2, *grid, 3)).astype(np.float32)
    agree("foreground_sweep", ops, pixels, alpha, *colours, times, np.float32(regularisation))
    agree("foreground_solve", ops, pixels, alpha, *colours, np.float32(regularisation))


@examples
@given(size=sizes, channels=st.sampled_from([(), (3,), (4,)]), seed=seeds)
def test_lookup(ops: FromHost, size: Any, channels: Any, seed: int) -> None:
    agree("lookup", ops, picture(size, seed, *channels), picture((256,), seed + 1, *channels))


@examples
@given(size=sizes, seed=seeds)
def test_lab_of_pictures(ops: FromHost, size: Any, seed: int) -> None:
    for name in ("to_lab", "from_lab"):
        agree(name, ops, picture(size, seed, 3))


@pytest.mark.parametrize("first", range(0, 256, 15))
def test_lab_of_colours_is_the_same_level_for_level(ops: FromHost, first: int) -> None:
    second, third = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for name in ("to_lab", "from_lab"):
        agree(name, ops, np.dstack([np.full_like(third, first), second, third]))


@examples
@given(
    size=sizes,
    radius=st.floats(1, 9),
    method=st.sampled_from(["telea", "navier_stokes"]),
    seed=seeds,
)
def test_inpainting(ops: FromHost, size: Any, radius: float, method: str, seed: int) -> None:
    agree("inpaint", ops, picture(size, seed, 3), picture(size, seed + 1), radius, method)


@examples
@given(size=sizes, threshold=st.integers(0, 255), seed=seeds)
def test_shapes_in_a_matte(ops: FromHost, size: Any, threshold: int, seed: int) -> None:
    matte = picture(size, seed)
    agree("largest_component", ops, matte, threshold)
    agree("fill_holes", ops, matte, threshold)
    shape = np.where(matte > threshold, matte, 0).astype(np.uint8)
    shape[0, 0] = 0  # without a 0, all distances are about 1.8e19
    agree("distance", ops, shape)


@examples
@given(size=st.tuples(st.integers(1, 90), st.integers(1, 90)), seed=seeds)
def test_foreground(ops: FromHost, size: Any, seed: int) -> None:
    pixels, alpha = picture(size, seed, 3), picture(size, seed + 1)
    made = ops.fetched(estimate_foreground(ops.ops.to_device(pixels), ops.ops.to_device(alpha), ops.ops))
    assert np.abs(made.astype(int) - estimate_foreground(pixels, alpha, CPU)).max() <= APART["foreground"]


@examples
@given(size=sizes, target=st.tuples(*[st.integers(1, 8)] * 2), seed=seeds)
def test_preparation(ops: FromHost, size: Any, target: Any, seed: int) -> None:
    pixels = picture(size, seed, 3)
    made = ops.fetched(prepare(Image(ops.ops.to_device(pixels)), *target, ops.ops))
    difference = np.abs(made.astype(int) - prepare(Image(pixels), *target, CPU))
    assert difference.max() <= APART["resize_area"]


@examples
@given(size=sizes, grid=sizes, seed=seeds, how=st.sampled_from([*PRESETS.values(), *EXPLICIT]))
def test_refinement(ops: FromHost, size: Any, grid: Any, seed: int, how: Refinement) -> None:
    """The whole way of the matte, element-wise mathematics included; but no cut through soft edges, where one level
    more or less on a device becomes all or nothing."""
    if how.edges == "soft":
        how = replace(how, threshold=None, keep_largest=False, fill_holes=False)
    pixels, matte = picture(size, seed, 3), picture(grid, seed + 1)
    photo = Image(ops.ops.to_device(pixels))
    made = ops.fetched(refine(ops.ops.to_device(matte), photo, how, ops.ops))
    difference = np.abs(made.astype(int) - refine(matte, Image(pixels), how, CPU))
    assert difference.max() <= APART["refine"]


@examples
@given(size=sizes, seed=seeds, reach=st.integers(0, 60))
def test_matting(ops: FromHost, size: Any, seed: int, reach: int) -> None:
    pixels, matte = picture(size, seed, 3), picture(size, seed + 1)
    photo, how = Image(ops.ops.to_device(pixels)), MattingSpec(erode=reach, dilate=reach)
    made = ops.fetched(estimate_alpha(ops.ops.to_device(matte), photo, how, ops.ops))
    difference = np.abs(made.astype(int) - estimate_alpha(matte, Image(pixels), how, CPU))
    assert difference.max() <= APART["fast_matting"]


@examples
@given(size=sizes, seed=seeds, method=st.sampled_from(["reinhard", "histogram"]), strength=st.floats(0, 1))
def test_colours_of_the_subject(ops: FromHost, size: Any, seed: int, method: Any, strength: float) -> None:
    """Made of primitives that are the same on each device, and so the same themselves."""
    arrays = picture(size, seed, 3), picture(size, seed + 1), picture(size, seed + 2, 3)
    sent = [ops.ops.to_device(array) for array in arrays]
    how = HarmoniseSpec(method=method, strength=strength)
    made = ops.fetched(harmonise(*sent, how, ops.ops))
    np.testing.assert_array_equal(made, harmonise(*arrays, how, CPU))
    made = ops.fetched(overlay(*sent[:2], ops.ops))
    np.testing.assert_array_equal(made, overlay(*arrays[:2], CPU))


@examples
@given(
    size=sizes,
    seed=seeds,
    kind=st.sampled_from(["drop", "contact", "cast"]),
    angle=st.floats(0, 360),
    length=st.floats(0, 5),
    softness=st.floats(0, 100),
)
def test_shadows(ops: FromHost, size: Any, seed: int, kind: Any, angle: float, length: float, softness: float) -> None:
    """Without a depth map, where a float at a threshold decides which part a pixel belongs to."""
    matte, how = picture(size, seed), ShadowSpec(type=kind, softness=softness)
    light = Light(angle=angle, length=length)
    made = ops.fetched(render_shadow(ops.ops.to_device(matte), how, light, ops.ops))
    difference = np.abs(made.astype(int) - render_shadow(matte, how, light, CPU))
    assert difference.max() <= APART["shadow"]
