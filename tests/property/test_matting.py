from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.compose import compose
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.perspective import stand
from cutstream.compositing.shadows.shadow import render_shadow
from cutstream.compositing.specs import CompositionSpec, Light, PerspectiveSpec, ShadowSpec, ShadowType
from cutstream.contract.geometry import parse_baseline, parse_horizon, parse_margin
from cutstream.errors import InvalidOption
from cutstream.images import Image
from cutstream.images.geometry import Box, limited_size
from cutstream.matting.measure import measure, uncertainty
from cutstream.matting.presets import PRESETS
from cutstream.matting.refine import ellipse, refine
from cutstream.matting.specs import Refinement

OPS = CpuOps()
sides = st.integers(1, 24)
mattes = st.tuples(sides, sides).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.sampled_from([0, 1, 127, 128, 254, 255]))
)
discs = st.sampled_from([1, 3, 5, 9])
counts = st.integers(0, 3)


def refined(matte: Any, **options: Any) -> Any:
    photo = Image(np.zeros((*matte.shape, 3), np.uint8))
    return refine(matte, photo, Refinement(scale="none", **options), OPS)


@given(mattes, discs, counts)
def test_closing_is_extensive(matte: Any, kernel: int, close: int) -> None:
    assert (refined(matte, kernel=kernel, close=close) >= matte).all()


@given(mattes, discs, counts)
def test_opening_is_anti_extensive(matte: Any, kernel: int, open: int) -> None:
    assert (refined(matte, kernel=kernel, open=open) <= matte).all()


@given(mattes, discs)
def test_closing_and_opening_twice_change_nothing_more(matte: Any, kernel: int) -> None:
    for step in ("close", "open"):
        once = refined(matte, kernel=kernel, **{step: 1})
        np.testing.assert_array_equal(refined(once, kernel=kernel, **{step: 1}), once)


@given(mattes, discs, counts)
def test_erosion_and_dilation_are_dual(matte: Any, kernel: int, times: int) -> None:
    disc = ellipse(kernel)
    np.testing.assert_array_equal(OPS.erode(255 - matte, disc, times), 255 - OPS.dilate(matte, disc, times))


@given(mattes, discs, counts, st.integers(0, 255))
def test_dilation_is_monotone_and_commutes_with_the_threshold(
    matte: Any, kernel: int, times: int, threshold: int
) -> None:
    disc = ellipse(kernel)
    mask = np.where(matte > threshold, 255, 0).astype(np.uint8)
    dilated = OPS.dilate(matte, disc, times)
    assert (dilated >= OPS.dilate(np.minimum(matte, mask), disc, times)).all()
    np.testing.assert_array_equal(np.where(dilated > threshold, 255, 0), OPS.dilate(mask, disc, times))


colours = st.tuples(*[st.integers(0, 255)] * 3)


@given(mattes, colours, st.integers(0, 2**32 - 1))
def test_composite_is_the_colour_the_photo_or_between_them(matte: Any, colour: Any, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*matte.shape, 3), np.uint8)
    picture = OPS.blend(pixels, matte, colour)
    assert (picture[matte == 0] == colour).all()
    assert (picture[matte == 255] == pixels[matte == 255]).all()
    assert (picture >= np.minimum(pixels, colour)).all()
    assert (picture <= np.maximum(pixels, colour)).all()


lengths = st.one_of(
    st.integers(0, 500).map(lambda value: f"{value}px"), st.floats(0, 50).map(lambda value: f"{value:.3f}%")
)
margins = st.sampled_from([1, 2, 4]).flatmap(lambda count: st.lists(lengths, min_size=count, max_size=count))


@given(mattes, margins)
def test_crop_holds_the_subject_and_never_leaves_the_photo(matte: Any, margin: list[str]) -> None:
    subject = measure(matte, OPS).box
    if subject is None:
        return
    height, width = matte.shape
    crop = parse_margin(" ".join(margin))
    box = crop.around(subject, width, height)
    assert Box(0, 0, 0, 0) <= box
    assert box.left <= subject.left < subject.right <= box.right <= width
    assert box.top <= subject.top < subject.bottom <= box.bottom <= height
    photo = Image(np.zeros((height, width, 3), np.uint8))
    (output,) = compose(photo, matte, CompositionSpec(outputs=("mask",), crop=crop), OPS).outputs
    np.testing.assert_array_equal(output.layers[0].pixels, matte[box.slices])


@given(mattes)
def test_measurements_are_shares(matte: Any) -> None:
    assert 0 <= measure(matte, OPS).coverage <= 1
    assert 0 <= uncertainty(matte, OPS) <= 1


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.integers(1, 4_000_000))
def test_limited_sizes_fit_and_never_grow(width: int, height: int, most: int) -> None:
    new_width, new_height = limited_size(width, height, most)
    assert 1 <= new_width <= width
    assert 1 <= new_height <= height
    assert new_width * new_height <= most


@given(mattes, sides, sides)
def test_soft_accepts_every_size(matte: Any, height: int, width: int) -> None:
    photo = Image(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    assert refine(matte, photo, PRESETS["soft"], OPS).shape == (height, width)


kinds = st.sampled_from(["drop", "contact", "cast"])


@given(
    kinds,
    st.floats(0, 360),
    st.floats(0, 1.5),
    st.floats(0, 20),
    st.tuples(*[st.integers(1, 60)] * 2),
    st.tuples(*[st.integers(0, 140)] * 2),
)
def test_shadows_stay_near_their_subject(
    kind: ShadowType, angle: float, length: float, softness: float, size: Any, place: Any
) -> None:
    (height, width), (top, left) = size, place
    alpha = np.zeros((200, 200), np.uint8)
    alpha[top : top + height, left : left + width] = 255
    strength = render_shadow(alpha, ShadowSpec(type=kind, softness=softness), Light(angle=angle, length=length), OPS)
    assert strength.shape == alpha.shape
    # Twice the length: nearer parts of it appear larger.
    reach = 2 * max(length, 0.2) * max(height, width / 4) + 4 * softness / 5 + 0.4 * max(height, width) + 8
    rows, columns = np.ogrid[:200, :200]
    outside = np.maximum(abs(rows - top - height / 2) - height / 2, abs(columns - left - width / 2) - width / 2) > reach
    assert (strength[outside] == 0).all()


@given(mattes, kinds, st.floats(0, 360), st.one_of(st.none(), st.floats(0, 5)), st.booleans())
def test_every_matte_has_a_shadow_of_its_size(
    matte: Any, kind: ShadowType, angle: float, length: float | None, deep: bool
) -> None:
    depth = matte if deep else None
    strength = render_shadow(matte, ShadowSpec(type=kind), Light(angle=angle, length=length), OPS, depth)
    assert (strength.shape, strength.dtype) == (matte.shape, np.uint8)
    if measure(matte, OPS).box is None:
        assert (strength == 0).all()


@given(mattes, st.floats(0, 360), st.floats(0, 1))
def test_drop_shadows_of_the_mirror_image_are_mirrored(matte: Any, angle: float, length: float) -> None:
    def dropped(alpha: Any, towards: float) -> Any:
        light = Light(angle=towards, length=length)
        return render_shadow(np.ascontiguousarray(alpha), ShadowSpec(type="drop", softness=0), light, OPS).astype(int)

    difference = np.abs(dropped(matte[:, ::-1], 360 - angle)[:, ::-1] - dropped(matte, angle))
    assert difference.max() <= 1


@given(mattes, sides, sides, st.integers(0, 23), st.integers(1, 24), st.sampled_from([None, "0"]))
def test_a_standing_subject_has_straight_colours(
    matte: Any, width: int, height: int, x: int, length: int, horizon: str | None
) -> None:
    """A subject of one colour keeps it, and the canvas has no other."""
    pixels = np.full((*matte.shape, 3), (200, 100, 50), np.uint8)
    box = Box(0, 0, matte.shape[1], matte.shape[0])
    spec = PerspectiveSpec(
        baseline=parse_baseline(f"{x % width} {height} {x % width + length} {height}"),
        horizon=None if horizon is None else parse_horizon(horizon),
    )
    try:
        placed, alpha = stand(ForegroundLayer(pixels, matte), box, spec, width, height, OPS)
    except InvalidOption:
        tallest = 2 * length * matte.shape[0] / matte.shape[1]
        assert max(length / width, tallest / height) > 4
        return
    assert (placed.shape, alpha.shape) == ((height, width, 3), (height, width))
    assert (placed[alpha == 0] == 0).all()
    seen = (placed.astype(int) - (200, 100, 50)) * alpha[..., None] / 255
    assert np.abs(seen).max() <= 2
