"""Every back end against the plainest NumPy that says the same, on awkward sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from cutstream.matting.refine import ellipse
from tests.support.back_ends import SUBJECTS, FromHost, back_end
from tests.support.tolerances import TOLERANCES

SIZES = [(1, 1), (1, 7), (9, 1), (5, 8), (33, 64), (64, 33)]
ASYMMETRIC = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], np.uint8)


@pytest.fixture(params=SUBJECTS)
def ops(request: pytest.FixtureRequest) -> FromHost:
    return FromHost(back_end(request.param))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def bytes_of(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Half of them at the ends of the range, as in a real matte."""
    values = random.integers(0, 256, shape, np.uint8)
    return np.where(values < 64, 0, np.where(values > 191, 255, values)).astype(np.uint8)


def near(name: str, actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=0, atol=TOLERANCES[name])


def area_weights(source: int, target: int) -> np.ndarray:
    edges = np.arange(target + 1) * source / target
    cells = np.arange(source)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.clip(overlap, 0, None) * target / source


def linear_weights(source: int, target: int) -> np.ndarray:
    at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    return np.clip(1 - np.abs(at[:, None] - np.arange(source)), 0, None)


def resized(array: np.ndarray, height: int, width: int, weights: Callable[[int, int], np.ndarray]) -> np.ndarray:
    rows, columns = weights(array.shape[0], height), weights(array.shape[1], width)
    return np.einsum("yr,xc,rc...->yx...", rows, columns, array.astype(np.float64))


def mixed_weights(source: int, target: int) -> np.ndarray:
    return area_weights(source, target) if target < source else linear_weights(source, target)


def gaussian_weights(kernel: int) -> np.ndarray:
    tables = {3: "1 2 1", 5: "1 4 6 4 1", 7: "2 7 14 18 14 7 2", 9: "4 13 30 51 60 51 30 13 4"}
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    bell = np.exp(-((np.arange(kernel) - kernel // 2) ** 2) / (2 * sigma**2))
    weights = np.array(tables[kernel].split(), float) if kernel in tables else bell
    return weights / weights.sum()


def window(array: np.ndarray, height: int, width: int, **pad: Any) -> np.ndarray:
    padding = ((height // 2,) * 2, (width // 2,) * 2)
    return np.lib.stride_tricks.sliding_window_view(np.pad(array, padding, **pad), (height, width))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", [(1, 1), (7, 5), (20, 90), (90, 20), (33, 64)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_resize(ops: FromHost, random: np.random.Generator, size: Any, target: Any, channels: Any) -> None:
    picture = bytes_of(random, *size, *channels)
    height, width = target
    near("resize_area", ops.resize_area(picture, width, height), resized(picture, height, width, mixed_weights))
    near("resize_linear", ops.resize_linear(picture, width, height), resized(picture, height, width, linear_weights))


def warped(array: np.ndarray, matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    u, v, w = np.einsum("ij,jyx->iyx", matrix, np.stack([x, y, np.ones_like(x)]))
    rows, columns = ((at / w)[..., None] - 0.5 for at in (v, u))
    down = np.clip(1 - np.abs(rows - np.arange(array.shape[0])), 0, None)
    across = np.clip(1 - np.abs(columns - np.arange(array.shape[1])), 0, None)
    return np.einsum("yxr,yxc,rc...->yx...", down, across, array.astype(np.float64))


TURN = np.array([[0.6, -0.8, 12], [0.8, 0.6, -5], [0, 0, 1]])
TILT = np.array([[1.1, 0.2, -3], [0.1, 0.9, 1], [0.002, -0.007, 1]])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", [(1, 1), (7, 5), (20, 90), (90, 20)])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("matrix", [np.diag([0.3, 0.7, 1]), TURN, TILT])
def test_warp(
    ops: FromHost, random: np.random.Generator, size: Any, target: Any, channels: Any, matrix: np.ndarray
) -> None:
    picture = bytes_of(random, *size, *channels)
    height, width = target
    near("warp", ops.warp(picture, matrix, width, height), warped(picture, matrix, width, height))


def test_warp_by_whole_pixels_copies_and_leaves_the_outside_empty(ops: FromHost) -> None:
    picture = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
    right_and_up = np.array([[1.0, 0, -1], [0, 1, 1], [0, 0, 1]])
    assert ops.warp(picture, right_and_up, 5, 2).tolist() == [[0, 40, 50, 60, 0], [0] * 5]


def test_warp_beyond_the_horizon_is_empty_there(ops: FromHost) -> None:
    """The row in the middle lies at infinity; what is above it comes from the other side."""
    ground = np.array([[1.0, 0, 0], [0, 0, 60], [0, 1, -4.5]])
    warped = ops.warp(np.full((30, 9), 255, np.uint8), ground, 9, 9)
    assert warped[4].tolist() == [0] * 9
    assert (warped[8] > 0).any()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [(3, 3), (5, 1), (3, 9)])
def test_box_mirrors_at_the_border(ops: FromHost, random: np.random.Generator, size: Any, kernel: Any) -> None:
    plane = random.random(size, np.float32)
    width, height = kernel
    near("box", ops.box(plane, width, height), window(plane, height, width, mode="reflect").mean(axis=(2, 3)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [(3, 3), (5, 1), (3, 9), (31, 31)])
def test_box_of_whole_numbers_is_exact(ops: FromHost, random: np.random.Generator, size: Any, kernel: Any) -> None:
    """They are products of two levels, up to 65,025. Tolerance is that of f32 for such a sum."""
    plane = random.integers(0, 255**2, size, np.uint16, endpoint=True)
    width, height = kernel
    made = ops.box(plane, width, height)
    assert made.dtype == np.float32
    expected = window(plane, height, width, mode="reflect").mean(axis=(2, 3))
    np.testing.assert_allclose(made, expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9, 11, 31])
def test_gaussian_takes_sigma_from_the_kernel(
    ops: FromHost, random: np.random.Generator, size: Any, kernel: int
) -> None:
    matte = bytes_of(random, *size)
    weights = gaussian_weights(kernel)
    expected = np.einsum("yxij,i,j->yx", window(matte, kernel, kernel, mode="reflect"), weights, weights)
    near("gaussian", ops.gaussian(matte, kernel), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("times", [0, 1, 3])
def test_morphology_neither_reflects_the_footprint_nor_lets_the_outside_win(
    ops: FromHost, random: np.random.Generator, size: Any, times: int
) -> None:
    matte = bytes_of(random, *size)
    smallest = largest = matte
    for _ in range(times):
        smallest = window(smallest, 3, 3, constant_values=255)[..., ASYMMETRIC > 0].min(axis=-1)
        largest = window(largest, 3, 3, constant_values=0)[..., ASYMMETRIC > 0].max(axis=-1)
    near("erode", ops.erode(matte, ASYMMETRIC, times), smallest)
    near("dilate", ops.dilate(matte, ASYMMETRIC, times), largest)


@pytest.mark.parametrize("size", [(1, 1), (9, 1), (33, 64), (70, 40)])
@pytest.mark.parametrize("footprint", [*map(np.ones, [(3, 5), (31, 1), (1, 7), (9, 99)]), ellipse(9)])
@pytest.mark.parametrize("times", [1, 2])
def test_morphology_of_rectangles_and_discs(
    ops: FromHost, random: np.random.Generator, size: Any, footprint: np.ndarray, times: int
) -> None:
    matte = bytes_of(random, *size)
    smallest = largest = matte
    for _ in range(times):
        smallest = window(smallest, *footprint.shape, constant_values=255)[..., footprint > 0].min(axis=-1)
        largest = window(largest, *footprint.shape, constant_values=0)[..., footprint > 0].max(axis=-1)
    near("erode", ops.erode(matte, footprint.astype(np.uint8), times), smallest)
    near("dilate", ops.dilate(matte, footprint.astype(np.uint8), times), largest)


def test_a_mask_that_touches_the_border_is_not_eroded_there(ops: FromHost) -> None:
    matte = np.full((4, 6), 255, np.uint8)
    assert (ops.erode(matte, np.ones((5, 5), np.uint8), 2) == 255).all()


def fitted_colours(guide: np.ndarray, matte: np.ndarray, width: int, height: int, noise: float) -> np.ndarray:
    """Return the value at each pixel of the mean of its windows' fits, by the normal equations."""

    def mean(plane: np.ndarray) -> np.ndarray:
        return window(plane, height, width, mode="reflect").mean(axis=(2, 3))

    colours, alpha = np.moveaxis(guide.astype(np.float64), 2, 0), matte.astype(np.float64)
    means, mean_alpha = np.array([mean(colour) for colour in colours]), mean(alpha)
    spread = np.array([[mean(a * b) for b in colours] for a in colours]) - means[:, None] * means
    covariance = np.array([mean(colour * alpha) for colour in colours]) - means * mean_alpha
    system = np.moveaxis(spread, (0, 1), (2, 3)) + noise * np.eye(3)
    slopes = np.moveaxis(np.linalg.solve(system, np.moveaxis(covariance, 0, 2)[..., None])[..., 0], 2, 0)
    intercept = mean_alpha - (slopes * means).sum(axis=0)
    averaged = np.array([mean(slope) for slope in slopes])
    fitted: np.ndarray = (averaged * colours).sum(axis=0) + mean(intercept)
    return fitted


@pytest.mark.parametrize("size", [*SIZES, (40, 300)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 7), (31, 1), (1, 9)])
@pytest.mark.parametrize("contrast", [255, 4])
def test_fit_colours(ops: FromHost, random: np.random.Generator, size: Any, kernel: Any, contrast: int) -> None:
    guide, matte = random.integers(255 - contrast, 255, (*size, 3), np.uint8, endpoint=True), bytes_of(random, *size)
    fits = ops.fit_colours(guide, matte, *kernel, np.float32(6.5))
    assert fits.dtype == np.float32
    made = (fits[..., :3].astype(np.float64) * guide).sum(axis=-1) + fits[..., 3]
    near("fit_colours", made, fitted_colours(guide, matte, *kernel, 6.5))


@pytest.mark.parametrize("size", [*SIZES, (700, 300)])
@pytest.mark.parametrize("grid", [(1, 1), (4, 3), (40, 40)])
def test_local_linear(ops: FromHost, random: np.random.Generator, size: Any, grid: Any) -> None:
    pixels = bytes_of(random, *size, 3)
    coefficients = random.normal(0, 1, (*grid, 4)).astype(np.float32) * np.array([1, 1, 1, 200], np.float32)
    at_full_size = resized(coefficients, *size, linear_weights)
    expected = (at_full_size[..., :3] * pixels).sum(axis=-1) + at_full_size[..., 3]
    near("local_linear", ops.local_linear(coefficients, pixels), np.clip(expected, 0, 255))


@pytest.mark.parametrize("size", SIZES)
def test_histogram(ops: FromHost, random: np.random.Generator, size: Any) -> None:
    matte = bytes_of(random, *size)
    near("histogram", ops.histogram(matte), np.bincount(matte.ravel(), minlength=256))
    near("total", ops.total(matte), matte.sum())


def test_bounding_box_holds_what_is_above_and_nothing_else(ops: FromHost) -> None:
    matte = np.zeros((6, 9), np.uint8)
    assert ops.bounding_box(matte, 25) is None
    matte[2, 3], matte[4, 8], matte[0, 0] = 26, 255, 25
    assert ops.bounding_box(matte, 25) == (3, 2, 9, 5)


@pytest.mark.parametrize(("size", "target"), [((7, 9), (7, 4)), ((64, 33), (20, 10)), ((5, 5), (1, 1))])
def test_shrink_weighs_colours_by_their_alpha(
    ops: FromHost, random: np.random.Generator, size: Any, target: Any
) -> None:
    pixels, alpha = bytes_of(random, *size, 3), bytes_of(random, *size)
    small, small_alpha = ops.shrink(pixels, alpha, target[1], target[0])
    weight = resized(alpha, *target, area_weights)
    premultiplied = resized(pixels * alpha[..., None].astype(float), *target, area_weights)
    near("shrink", small_alpha, weight)
    visible = small_alpha > 0
    near("shrink", small[visible], (premultiplied / np.maximum(weight, 1e-9)[..., None])[visible])
    assert (small[~visible] == 0).all()


def test_shrink_lets_no_hidden_colour_in(ops: FromHost) -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    small, alpha = ops.shrink(pixels, np.array([[255, 0]], np.uint8), 1, 1)
    assert small.tolist() == [[[255, 0, 0]]]
    assert alpha.tolist() in ([[127]], [[128]])


@pytest.mark.parametrize("size", SIZES)
def test_rgba(ops: FromHost, random: np.random.Generator, size: Any) -> None:
    pixels, alpha = bytes_of(random, *size, 3), bytes_of(random, *size)
    expected = np.dstack([np.where(alpha[..., None] > 0, pixels, 0), alpha])
    near("rgba", ops.rgba(pixels, alpha), expected)


def test_blend_is_exact_for_every_pixel_and_alpha(ops: FromHost) -> None:
    values, alphas = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    pixels = np.repeat(values[..., None], 3, axis=2)
    colour = (0, 77, 255)
    weight = alphas[..., None].astype(int)
    expected = (pixels * weight + np.array(colour) * (255 - weight) + 127) // 255
    near("blend", ops.blend(pixels, alphas, colour), expected)


@pytest.mark.parametrize("size", [*SIZES, (4, 1)])
def test_blend_on_awkward_sizes_and_views(ops: FromHost, random: np.random.Generator, size: Any) -> None:
    height, width = size
    pixels, alpha = bytes_of(random, height + 2, width + 2, 3), bytes_of(random, height + 2, width + 2)
    inner = slice(1, 1 + height), slice(1, 1 + width)
    weight = alpha[inner][..., None].astype(int)
    expected = (pixels[inner] * weight + np.array((10, 20, 30)) * (255 - weight) + 127) // 255
    near("blend", ops.blend(pixels[inner], alpha[inner], (10, 20, 30)), expected)


def test_composite_over_is_exact_for_every_pixel_and_alpha(ops: FromHost, random: np.random.Generator) -> None:
    values, alphas = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    pixels = np.repeat(values[..., None], 3, axis=2)
    background = bytes_of(random, 256, 256, 3)
    weight = alphas[..., None].astype(int)
    expected = (pixels * weight + background.astype(int) * (255 - weight) + 127) // 255
    near("composite_over", ops.composite_over(pixels, alphas, background), expected)


def swept(pixels: Any, share: Any, colours: tuple[Any, Any], regularisation: float) -> tuple[Any, Any]:
    """The 2 × 2 system of the least squares, as it stands."""
    front, behind = colours
    share = share[..., None] * np.ones(3) / 255
    rest = 1 - share
    matrix = np.stack([np.stack([share**2, share * rest], -1), np.stack([share * rest, rest**2], -1)], -2)
    right = np.stack([share * pixels + regularisation * front, rest * pixels + regularisation * behind], -1)
    found = np.linalg.solve(matrix + regularisation * np.eye(2), right[..., None])[..., 0]
    return tuple(np.clip(np.moveaxis(found, -1, 0), 0, 255))  # type: ignore[return-value]


def colours_of(random: np.random.Generator, grid: Any) -> tuple[Any, Any]:
    return tuple(random.uniform(0, 255, (2, *grid, 3)).astype(np.float32))  # type: ignore[return-value]


def means(colours: Any) -> Any:
    return np.stack([window(plane, 3, 3, mode="edge").mean(axis=(2, 3)) for plane in np.moveaxis(colours, -1, 0)], -1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grid", [(1, 1), (4, 3), (33, 64)])
@pytest.mark.parametrize("times", [0, 1, 3])
def test_foreground_sweep_solves_each_pixel_with_the_means_around_it(
    ops: FromHost, random: np.random.Generator, size: Any, grid: Any, times: int
) -> None:
    pixels, alpha, colours = bytes_of(random, *size, 3), bytes_of(random, *size), colours_of(random, grid)
    expected = tuple(resized(plane, *size, linear_weights) for plane in colours)
    for _ in range(times):
        expected = swept(pixels, alpha, tuple(map(means, expected)), 0.05)
    for made, wanted in zip(
        ops.foreground_sweep(pixels, alpha, *colours, times, np.float32(0.05)), expected, strict=True
    ):
        assert made.dtype == np.float32
        near("foreground_sweep", made, wanted)


@pytest.mark.parametrize("size", [*SIZES, (300, 700)])
@pytest.mark.parametrize("grid", [(1, 1), (4, 3), (33, 64)])
def test_foreground_solve_touches_undecided_pixels_alone(
    ops: FromHost, random: np.random.Generator, size: Any, grid: Any
) -> None:
    pixels, alpha, colours = bytes_of(random, *size, 3), bytes_of(random, *size), colours_of(random, grid)
    expected = swept(pixels, alpha, tuple(resized(plane, *size, linear_weights) for plane in colours), 0.02)[0]
    undecided = ((alpha > 0) & (alpha < 255))[..., None]
    near(
        "foreground_solve",
        ops.foreground_solve(pixels, alpha, *colours, np.float32(0.02)),
        np.where(undecided, expected, pixels),
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_lookup(ops: FromHost, random: np.random.Generator, size: Any, channels: Any) -> None:
    pixels, table = bytes_of(random, *size, *channels), random.integers(0, 256, (256, *channels), np.uint8)
    expected = table[pixels, np.arange(3)] if channels else table[pixels]
    near("lookup", ops.lookup(pixels, table), expected)


def every_colour(step: int) -> np.ndarray:
    """Each pair of second and third values with every `step`th first one."""
    second, third = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    return np.concatenate([np.dstack([np.full_like(third, first), second, third]) for first in range(0, 256, step)])


XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = XYZ.sum(axis=1)


def lab_of(rgb: np.ndarray) -> np.ndarray:
    level = rgb / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4) @ (XYZ / WHITE[:, None]).T
    x, y, z = np.moveaxis(np.where(light < 216 / 24389, light * 841 / 108 + 16 / 116, np.cbrt(light)), -1, 0)
    return np.clip(np.stack([(116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128], axis=-1), 0, 255)


def rgb_of(lab: np.ndarray) -> np.ndarray:
    lightness, a, b = np.moveaxis(lab.astype(float), -1, 0)
    root = (lightness / 2.55 + 16) / 116
    roots = np.stack([root + (a - 128) / 500, root, root - (b - 128) / 200], axis=-1)
    light = np.where(roots < 6 / 29, (roots - 16 / 116) * 108 / 841, roots**3) * WHITE
    light = np.clip(light @ np.linalg.inv(XYZ).T, 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def test_lab_is_cie_lab_of_srgb(ops: FromHost) -> None:
    colours = every_colour(51)
    near("to_lab", ops.to_lab(colours), lab_of(colours))
    near("from_lab", ops.from_lab(colours), rgb_of(colours))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", ["telea", "navier_stokes"])
def test_inpainting_leaves_what_is_known_and_fills_within_its_range(
    ops: FromHost, random: np.random.Generator, size: Any, method: str
) -> None:
    hole = ndimage.uniform_filter(random.random(size), 5) < 0.5
    pixels = np.where(hole[..., None], 255, random.integers(60, 80, (*size, 3))).astype(np.uint8)
    filled = ops.inpaint(pixels, hole.astype(np.uint8), 4.0, method)
    np.testing.assert_array_equal(filled[~hole], pixels[~hole])
    if not hole.all():
        near("inpaint", filled[hole], np.clip(filled[hole], 60, 79))


@pytest.mark.parametrize("method", ["telea", "navier_stokes"])
def test_a_hole_takes_after_the_side_that_is_nearer(ops: FromHost, method: str) -> None:
    pixels = np.full((20, 30, 3), 40, np.uint8)
    pixels[:, 15:] = 200
    hole = np.zeros((20, 30), np.uint8)
    hole[:, 8:22] = 1
    filled = ops.inpaint(pixels, hole, 3.0, method)
    near("inpaint", filled[:, 8:10], np.full((20, 2, 3), 40))
    near("inpaint", filled[:, 20:22], np.full((20, 2, 3), 200))


def test_the_methods_are_two_of_which_telea_blurs_a_line_less(ops: FromHost) -> None:
    pixels = np.full((15, 15, 3), 40, np.uint8)
    pixels[7] = 200
    hole = np.zeros((15, 15), np.uint8)
    hole[4:11, 4:11] = 1
    beside = {method: ops.inpaint(pixels, hole, 3.0, method)[[6, 8], 4:11] for method in ("telea", "navier_stokes")}
    assert 40 < beside["telea"].mean() < 65 < beside["navier_stokes"].mean() < 90


@pytest.mark.parametrize("method", ["telea", "navier_stokes"])
@pytest.mark.parametrize("hole", [0, 255])
def test_without_a_hole_or_without_anything_around_it_the_picture_stays(
    ops: FromHost, random: np.random.Generator, method: str, hole: int
) -> None:
    pixels = bytes_of(random, 9, 7, 3)
    np.testing.assert_array_equal(ops.inpaint(pixels, np.full((9, 7), hole, np.uint8), 5.0, method), pixels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("zeros", [1, 5, 10_000])
def test_distance_is_to_the_nearest_zero(ops: FromHost, random: np.random.Generator, size: Any, zeros: int) -> None:
    matte = np.full(size, 255, np.uint8)
    matte.flat[random.integers(0, matte.size, zeros)] = 0
    every = np.argwhere(np.ones(size, bool))
    pairs = every[:, None] - np.argwhere(matte == 0)
    near("distance", ops.distance(matte), np.hypot(*np.moveaxis(pairs, -1, 0)).min(axis=1).reshape(size))


def test_distance_to_nothing(ops: FromHost) -> None:
    assert (ops.distance(np.full((3, 4), 1, np.uint8)) > 1e18).all()


@pytest.mark.parametrize("size", [*SIZES, (70, 50)])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.45, 0.98])
def test_the_largest_component_is_kept_with_its_values(
    ops: FromHost, random: np.random.Generator, size: Any, share: float
) -> None:
    matte = np.where(random.random(size) < share, random.integers(101, 256, size), random.integers(0, 101, size))
    labels, count = ndimage.label(matte > 100, np.ones((3, 3)))
    sizes = [0, *(np.sum(labels == label) for label in range(1, count + 1))]  # labels count up row by row
    expected = np.where((labels == np.argmax(sizes)) & (labels > 0), matte, 0)
    near("largest_component", ops.largest_component(matte.astype(np.uint8), 100), expected)


def test_corners_connect_and_the_first_of_two_equal_components_wins(ops: FromHost) -> None:
    matte = np.array([[0, 0, 0, 9, 0], [7, 0, 0, 0, 9], [0, 7, 0, 0, 0], [5, 0, 0, 5, 5]], np.uint8)
    assert ops.largest_component(matte, 0).tolist() == [[0] * 5, [7, 0, 0, 0, 0], [0, 7, 0, 0, 0], [5, 0, 0, 0, 0]]
    assert ops.largest_component(matte, 6).tolist() == [[0, 0, 0, 9, 0], [0, 0, 0, 0, 9], [0] * 5, [0] * 5]
    assert (ops.largest_component(matte, 9) == 0).all()


@pytest.mark.parametrize("size", [*SIZES, (70, 50)])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.62, 0.98])
def test_regions_that_do_not_reach_the_frame_are_filled(
    ops: FromHost, random: np.random.Generator, size: Any, share: float
) -> None:
    matte = np.where(random.random(size) < share, random.integers(101, 256, size), random.integers(0, 101, size))
    regions, _ = ndimage.label(np.pad(matte <= 100, 1, constant_values=True))  # four neighbours; the pad is outside
    holes = (regions > 0) & (regions != regions[0, 0])
    near("fill_holes", ops.fill_holes(matte.astype(np.uint8), 100), np.where(holes[1:-1, 1:-1], 255, matte))


def test_a_hole_leaks_through_no_corner_and_is_filled_with_its_rim(ops: FromHost) -> None:
    corners = np.array([[0, 9, 9, 0], [9, 0, 9, 0], [9, 9, 0, 9], [0, 0, 9, 9]], np.uint8)
    assert ops.fill_holes(corners, 8).tolist() == [[0, 9, 9, 0], [9, 255, 9, 0], [9, 9, 255, 9], [0, 0, 9, 9]]
    pierced, wall = [0, 60, 250, 243, 128, 0, 128, 242, 255, 60], [0, 60, *[243] * 7, 60]
    matte = np.array([pierced, wall, pierced, wall], np.uint8)
    filled = [0, 60, 250, 243, *[255] * 5, 60]  # the first row's reaches the frame, as the rim outside does
    assert ops.fill_holes(matte, 242).tolist() == [pierced, wall, filled, wall]


def test_inputs_are_read_only_to_every_primitive(ops: FromHost, random: np.random.Generator) -> None:
    """On a device nothing can be made read-only: there `FromHost` compares them after each call, in all tests."""
    pixels, matte = bytes_of(random, 9, 8, 3), bytes_of(random, 9, 8)
    for array in (pixels, matte):
        array.setflags(write=False)
    for call in calls(np.ones((3, 3, 4), np.float32), pixels, matte):
        call(ops)


def test_views_of_larger_arrays_are_taken(ops: FromHost, random: np.random.Generator) -> None:
    pixels, matte = bytes_of(random, 12, 11, 3), bytes_of(random, 12, 11)
    coefficients = random.normal(0, 1, (7, 7, 4)).astype(np.float32)
    inner = slice(2, -1), slice(1, -2)
    views = [ops.ops.to_device(array)[inner] for array in (coefficients, pixels, matte)]
    copies = [np.ascontiguousarray(array[inner]) for array in (coefficients, pixels, matte)]
    for of_views, of_copies in zip(calls(*views), calls(*copies), strict=True):
        np.testing.assert_array_equal(ops.fetched(of_views(ops.ops)), of_copies(ops))


def calls(coefficients: Any, pixels: Any, matte: Any) -> list[Callable[[Any], Any]]:
    return [
        lambda ops: ops.resize_area(pixels, 3, 3),
        lambda ops: ops.resize_linear(pixels, 3, 20),
        lambda ops: ops.warp(pixels, TURN, 9, 9),
        lambda ops: ops.gaussian(matte, 3),
        lambda ops: ops.erode(matte, ASYMMETRIC, 1),
        lambda ops: ops.dilate(matte, ASYMMETRIC, 1),
        lambda ops: ops.dilate(matte, np.ones((3, 3), np.uint8), 1),
        lambda ops: ops.histogram(matte),
        lambda ops: ops.total(matte),
        lambda ops: ops.bounding_box(matte, 1),
        lambda ops: ops.shrink(pixels, matte, 3, 3)[0],
        lambda ops: ops.shrink(pixels, matte, 3, 3)[1],
        lambda ops: ops.rgba(pixels, matte),
        lambda ops: ops.blend(pixels, matte, (1, 2, 3)),
        lambda ops: ops.fit_colours(pixels, matte, 3, 5, np.float32(6.5)),
        lambda ops: ops.local_linear(coefficients, pixels),
        lambda ops: ops.composite_over(pixels, matte, pixels),
        lambda ops: ops.foreground_sweep(
            pixels, matte, coefficients[..., :3], coefficients[..., 1:], 2, np.float32(0.1)
        )[0],
        lambda ops: ops.foreground_sweep(
            pixels, matte, coefficients[..., :3], coefficients[..., 1:], 2, np.float32(0.1)
        )[1],
        lambda ops: ops.foreground_solve(pixels, matte, coefficients[..., :3], coefficients[..., 1:], np.float32(0.1)),
        lambda ops: ops.lookup(pixels, np.arange(256 * 3, dtype=np.uint8).reshape(256, 3)),
        lambda ops: ops.to_lab(pixels),
        lambda ops: ops.from_lab(pixels),
        lambda ops: ops.inpaint(pixels, matte, 3.0, "telea"),
        lambda ops: ops.distance(matte),
        lambda ops: ops.largest_component(matte, 100),
        lambda ops: ops.fill_holes(matte, 100),
    ]
