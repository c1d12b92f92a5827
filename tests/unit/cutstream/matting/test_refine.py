from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from cutstream.arrays.cpu import CpuOps
from cutstream.errors import InvalidOption
from cutstream.images import Image
from cutstream.images.geometry import odd
from cutstream.matting.presets import PRESETS
from cutstream.matting.refine import ellipse, prepare, refine
from cutstream.matting.specs import Refinement

OPS = CpuOps()
SOFT = PRESETS["soft"]


def plain(height: int, width: int) -> Image:
    return Image(np.full((height, width, 3), 90, np.uint8))


def test_prepare_averages_areas() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2, :3, 0] = 100
    pixels[3, 5, 2] = 240
    small = prepare(Image(pixels), 2, 2, OPS)
    assert small.tolist() == [[[100, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 40]]]


@pytest.mark.parametrize(
    ("size", "halvings"), [((24, 36), 1), ((23, 300), 0), ((48, 60), 2), ((49, 61), 2), ((8, 8), 0)]
)
def test_prepare_halves_what_is_three_times_as_large(size: tuple[int, int], halvings: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    expected = pixels
    for _ in range(halvings):
        expected = expected[: expected.shape[0] // 2 * 2, : expected.shape[1] // 2 * 2].astype(int)
        expected = (expected[::2, ::2] + expected[1::2, ::2] + expected[::2, 1::2] + expected[1::2, 1::2] + 2) // 4
    expected = OPS.resize_area(expected.astype(np.uint8), 8, 8)
    np.testing.assert_array_equal(prepare(Image(pixels), 8, 8, OPS), expected)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 15, 31, 99])
def test_ellipse_is_opencvs(size: int) -> None:
    np.testing.assert_array_equal(ellipse(size), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


@pytest.mark.parametrize(("size", "expected"), [(0, 1), (0.9, 1), (1.9, 1), (2, 3), (3.9, 3), (4, 5), (7, 7)])
def test_odd(size: float, expected: int) -> None:
    assert odd(size) == expected


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (37, 53), (400, 3), (1203, 801)])
def test_any_size_comes_back_at_the_photos_size(name: str, size: tuple[int, int]) -> None:
    empty, full = np.zeros((32, 32), np.uint8), np.full((32, 32), 255, np.uint8)
    for matte, value in ((empty, 0), (full, 255)):
        refined = refine(matte, plain(*size), PRESETS[name], OPS)
        assert refined.shape == size
        assert refined.dtype == np.uint8
        assert (refined == value).all()


def two_colours(side: int, left: tuple[int, int, int], right: tuple[int, int, int]) -> Image:
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[:, : side // 2], pixels[:, side // 2 :] = left, right
    return Image(pixels)


# The first pair is equal in luma: only a colour guide sees that edge.
@pytest.mark.parametrize("colours", [((76, 76, 76), (255, 0, 0)), ((0, 0, 0), (255, 255, 255))])
def test_soft_snaps_the_edge_to_the_photo(colours: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    photo = two_colours(320, *colours)
    matte = np.zeros((64, 64), np.uint8)
    matte[:, 32:] = 255
    truth = np.repeat(cv2.resize(matte[:1], (320, 1), interpolation=cv2.INTER_NEAREST), 320, axis=0).astype(int)
    bilinear = np.abs(cv2.resize(matte, (320, 320)) - truth).mean()
    assert np.abs(refine(matte, photo, SOFT, OPS) - truth).mean() < 0.25 * bilinear


def test_soft_does_not_drift_on_grey_photos() -> None:
    """Equal channels make the colour system nearly singular; the answer is that of a single channel."""
    rng = np.random.default_rng(1)
    grey = cv2.GaussianBlur(rng.integers(0, 256, (300, 300), np.uint8), (0, 0), 4)
    grey = cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX)
    noise = rng.integers(0, 2, (300, 300, 3))
    matte = np.zeros((100, 100), np.uint8)
    matte[30:70, 30:70] = 255
    exact = refine(matte, Image(np.repeat(grey[..., None], 3, axis=2)), SOFT, OPS)
    nearly = refine(matte, Image(np.clip(grey[..., None] + noise, 0, 255).astype(np.uint8)), SOFT, OPS)
    assert np.abs(exact.astype(int) - nearly).mean() < 1


def test_soft_cuts_off_faint_alpha() -> None:
    faint, sure = np.full((16, 16), 12, np.uint8), np.full((16, 16), 243, np.uint8)
    assert (refine(faint, plain(50, 40), SOFT, OPS) == 0).all()
    assert (refine(sure, plain(50, 40), SOFT, OPS) == 255).all()


def test_soft_leaves_a_real_photos_edges_soft() -> None:
    photo = Image(data.astronaut())
    matte = np.zeros((64, 64), np.uint8)
    cv2.circle(matte, (28, 30), 20, 255, -1)
    matte = cv2.GaussianBlur(matte, (5, 5), 0)
    refined = refine(matte, photo, SOFT, OPS)
    undecided = np.mean((refined > 0) & (refined < 255))
    assert 0.02 < undecided < 0.2
    assert refined[5, 5] == 0
    assert refined[240, 224] == 255


def test_steps_run_in_order_on_small_pictures_as_literal_morphology() -> None:
    matte = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 256, (80, 90), np.uint8), (0, 0), 2)
    matte = cv2.normalize(matte, None, 0, 255, cv2.NORM_MINMAX)
    refinement = Refinement(kernel=5, close=2, open=1, blur=3, threshold=120, dilate_kernel=7, dilate=2, scale="none")
    disc, dilation = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)) for side in (5, 7))
    expected = cv2.morphologyEx(matte, cv2.MORPH_CLOSE, disc, iterations=2)
    expected = cv2.morphologyEx(expected, cv2.MORPH_OPEN, disc)
    expected = cv2.GaussianBlur(expected, (3, 3), 0)
    expected = cv2.threshold(expected, 120, 255, cv2.THRESH_BINARY)[1]
    expected = cv2.dilate(expected, dilation, iterations=2)
    np.testing.assert_array_equal(refine(matte, plain(80, 90), refinement, OPS), expected)


def test_diagonal_contacts_are_opened_into_two() -> None:
    """The 3 × 3 ellipse is a cross, so a contact at the corners holds nothing together."""
    matte, crosses = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    for middle in (3, 6):
        matte[middle - 1 : middle + 2, middle - 1 : middle + 2] = 255
        crosses[middle, middle - 1 : middle + 2] = crosses[middle - 1 : middle + 2, middle] = 255
    opened = refine(matte, plain(10, 10), Refinement(open=1, scale="none"), OPS)
    np.testing.assert_array_equal(opened, crosses)


def test_closing_fills_a_hole_and_keeps_the_outline() -> None:
    matte = np.zeros((9, 9), np.uint8)
    matte[2:7, 2:7] = 255
    pierced = matte.copy()
    pierced[4, 4] = 0
    closed = refine(pierced, plain(9, 9), Refinement(close=1, scale="none"), OPS)
    np.testing.assert_array_equal(closed, matte)


def test_a_subject_at_the_border_is_not_opened_away() -> None:
    matte = np.zeros((20, 20), np.uint8)
    matte[:3, :3] = 255
    opened = refine(matte, plain(20, 20), Refinement(open=1, kernel=3, scale="none"), OPS)
    assert opened[0, 0] == 255


@pytest.mark.parametrize(("long_side", "reach"), [(250, 1), (500, 2), (1000, 4), (2000, 8), (4000, 16)])
def test_kernels_scale_with_the_long_side(long_side: int, reach: int) -> None:
    matte = np.zeros((long_side // 2, long_side), np.uint8)
    matte[:, : long_side // 2] = 255
    refinement = Refinement(dilate_kernel=9, dilate=1, threshold=127)
    refined = refine(matte, plain(long_side // 2, long_side), refinement, OPS)
    edge = int((refined[long_side // 4] == 255).sum()) - long_side // 2
    assert abs(edge - reach) <= max(1, long_side // 2000)


def test_literal_kernels_that_would_take_minutes_are_refused() -> None:
    refinement = Refinement(kernel=51, close=8, scale="none")
    with pytest.raises(InvalidOption, match="long_side"):
        refine(np.zeros((8, 8), np.uint8), plain(2000, 2000), refinement, OPS)


def test_without_steps_the_networks_matte_is_only_interpolated() -> None:
    matte = np.random.default_rng(5).integers(0, 256, (32, 40), np.uint8)
    np.testing.assert_array_equal(
        refine(matte, plain(1500, 1100), Refinement(), OPS), OPS.resize_linear(matte, 1100, 1500)
    )


def test_dilate_defaults_to_the_common_kernel() -> None:
    matte = np.zeros((60, 60), np.uint8)
    matte[30, 30] = 255
    own, same = (Refinement(kernel=9, dilate=1, dilate_kernel=k, scale="none") for k in (5, 0))
    assert np.count_nonzero(refine(matte, plain(60, 60), own, OPS)) == np.count_nonzero(ellipse(5))
    assert np.count_nonzero(refine(matte, plain(60, 60), same, OPS)) == np.count_nonzero(ellipse(9))


def ring_and_island() -> np.ndarray:
    """A soft-edged ring, and beside it a soft-edged disc."""
    matte = np.zeros((200, 300), np.uint8)
    cv2.circle(matte, (100, 100), 70, 255, -1)
    cv2.circle(matte, (100, 100), 25, 0, -1)
    cv2.circle(matte, (250, 100), 15, 255, -1)
    return cv2.GaussianBlur(matte, (11, 11), 0)


def test_only_the_largest_part_is_kept_with_its_soft_edge() -> None:
    matte = ring_and_island()
    kept = refine(matte, plain(200, 300), Refinement(keep_largest=True), OPS).astype(int)
    assert (kept[:, 200:] == 0).all()
    assert np.abs(kept[:, :200] - matte[:, :200]).max() <= 12  # below the black point nothing is seen


@pytest.mark.parametrize("edges", ["linear", "soft"])
def test_a_hole_is_filled_with_its_soft_rim_and_the_outer_edge_stays(edges: str) -> None:
    matte, photo = ring_and_island(), plain(200, 300)
    open_ = refine(matte, photo, Refinement(edges=edges), OPS)
    filled = refine(matte, photo, Refinement(edges=edges, fill_holes=True), OPS)
    inside = np.hypot(*np.ogrid[-100:100, -100:200]) < 50
    assert open_[100, 100] == 0
    assert filled[inside].min() >= 243
    np.testing.assert_array_equal(filled[~inside], open_[~inside])


def test_an_opening_to_the_frame_is_not_a_hole() -> None:
    matte = np.full((40, 40), 255, np.uint8)
    matte[10:, 15:25] = 0
    np.testing.assert_array_equal(refine(matte, plain(40, 40), Refinement(fill_holes=True), OPS), matte)


def test_after_a_threshold_parts_and_holes_are_the_masks() -> None:
    """A bridge below the threshold connects nothing, and a dent above it is no hole."""
    matte = np.zeros((40, 60), np.uint8)
    matte[5:35, 5:35], matte[5:15, 45:55], matte[10, 35:45] = 255, 255, 100
    matte[20, 20], matte[25, 25] = 200, 90
    refinement = Refinement(threshold=127, keep_largest=True, fill_holes=True, scale="none")
    expected = np.zeros((40, 60), np.uint8)
    expected[5:35, 5:35] = 255
    np.testing.assert_array_equal(refine(matte, plain(40, 60), refinement, OPS), expected)


@pytest.mark.parametrize("long_side", [500, 1000, 2000, 4000])
def test_feather_comes_last_and_scales_with_the_long_side(long_side: int) -> None:
    matte = np.zeros((8, 8), np.uint8)
    matte[:, 4:] = 255
    refinement = Refinement(threshold=127, feather=31)
    row = refine(matte, plain(long_side // 8, long_side), refinement, OPS)[long_side // 16].astype(int)
    assert (np.diff(row) >= 0).all()
    assert row[long_side // 2 - 1 : long_side // 2 + 1].mean() == pytest.approx(127.5, abs=2)
    sigma = 0.3 * (15 - 1) + 0.8  # OpenCV's, of a kernel of 31
    ramp = np.interp([255 * 0.16, 255 * 0.84], row, np.arange(long_side)) / long_side * 1000
    assert ramp[1] - ramp[0] == pytest.approx(2 * sigma, rel=0.1)


def test_soft_edges_follow_the_photo_after_morphology() -> None:
    photo = two_colours(320, (0, 0, 0), (255, 255, 255))
    matte = np.zeros((64, 64), np.uint8)
    matte[:, 32:] = 255
    matte[10, 50] = 0
    refinement = Refinement(edges="soft", kernel=21, close=1, threshold=127)
    refined = refine(matte, photo, refinement, OPS)
    assert (refined[:, 160:] == 255).all()
    assert (refined[:, :158] == 0).all()
