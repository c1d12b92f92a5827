from __future__ import annotations

import builtins
import subprocess
import sys
from threading import Thread
from typing import Any

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.errors import InvalidOption
from cutstream.images import Image
from cutstream.matting import exact_matting
from cutstream.matting.alpha_matting import estimate_alpha
from cutstream.matting.exact_matting import METHODS, System, _conjugate_gradients, solve_exact
from cutstream.matting.specs import MattingSpec
from cutstream.matting.trimap import BACKGROUND, SUBJECT, UNKNOWN, build_trimap
from cutstream.quality.alpha import sum_of_absolute_differences
from tests.support.back_ends import DEVICES, back_end
from tests.support.fur import coarse, fur

OPS = CpuOps()
pytestmark = pytest.mark.timeout(300)  # PyMatting compiles itself where it has not been used yet


@pytest.fixture(autouse=True, scope="module")
def _pymatting() -> None:
    pytest.importorskip("pymatting", reason="pymatting is missing: run `make setup` in the checkout")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("size", [(150, 201), (301, 220)])
def test_alpha_is_nearer_to_the_truth_than_the_bands_middle(method: Any, size: tuple[int, int]) -> None:
    photo, truth = fur(*size)
    matte = coarse(truth, 5)
    trimap = build_trimap(matte, 10, 40, OPS)
    result = estimate_alpha(matte, photo, MattingSpec(method=method, erode=10, dilate=40), OPS)
    assert sum_of_absolute_differences(result, truth) < 0.3 * sum_of_absolute_differences(trimap, truth)
    if method not in ("random_walk", "knn"):  # these two know no mixed colours, or no neighbours
        assert sum_of_absolute_differences(result, truth) < 0.3 * sum_of_absolute_differences(matte, truth)
    assert (result[trimap == SUBJECT] == 255).all()
    assert (result[trimap == BACKGROUND] == 0).all()


def test_large_photos_are_solved_at_a_bounded_size(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, method, METHODS[method]._replace(max_pixels=20_000))
    seen: list[int] = []
    system = exact_matting._build_system

    def watched(pymatting: Any, name: str, colours: Any, *rest: Any) -> System:
        seen.append(colours.shape[0] * colours.shape[1])
        return system(pymatting, name, colours, *rest)

    monkeypatch.setattr(exact_matting, "_build_system", watched)
    photo, truth = fur(400, 500)
    matte = coarse(truth, 6)
    result = estimate_alpha(matte, photo, MattingSpec(method=method, erode=10, dilate=40), OPS)
    assert seen == [pytest.approx(20_000, rel=0.02)]
    assert sum_of_absolute_differences(result, truth) < 0.7 * sum_of_absolute_differences(matte, truth)


def test_enlarging_the_result_follows_the_photos_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "closed_form", METHODS["closed_form"]._replace(max_pixels=20_000))
    photo, truth = fur(400, 500)
    trimap = build_trimap(coarse(truth, 6), 200, 200, OPS)  # all of the picture is in its frame
    result = solve_exact(trimap, trimap, photo, "closed_form", OPS)
    height, width = 126, 158
    small = solve_exact(
        build_trimap(OPS.resize_area(coarse(truth, 6), width, height), 200, 200, OPS),
        np.zeros((height, width), np.uint8),
        Image(OPS.resize_area(photo.pixels, width, height)),
        "closed_form",
        OPS,
    )
    stretched = OPS.resize_linear(small, 500, 400)
    band = trimap == UNKNOWN
    assert sum_of_absolute_differences(result[band], truth[band]) < 0.8 * sum_of_absolute_differences(
        stretched[band], truth[band]
    )


def test_only_the_surroundings_of_the_band_are_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    solved = exact_matting._solve

    def watched(pymatting: Any, method: Any, pixels: Any, *rest: Any) -> Any:
        seen.append(pixels.shape)
        return solved(pymatting, method, pixels, *rest)

    monkeypatch.setattr(exact_matting, "_solve", watched)
    photo, _ = fur(200, 300)
    alpha = np.zeros((200, 300), np.uint8)
    alpha[80:110, 20:60] = 255
    estimate_alpha(alpha, photo, MattingSpec(method="closed_form"), OPS)
    ((height, width, _),) = seen
    assert 48 <= height <= 60
    assert 58 <= width <= 70


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (2, 3), (5, 40)])
def test_any_size(method: Any, size: tuple[int, int]) -> None:
    matte = np.random.default_rng(0).choice([0, 128, 255], size).astype(np.uint8)
    photo = Image(np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8))
    result = estimate_alpha(matte, photo, MattingSpec(method=method, erode=0, dilate=0), OPS)
    assert (result.shape, result.dtype) == (size, np.uint8)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_plain_photo_can_be_solved(method: Any, colour: int, capfd: pytest.CaptureFixture[str]) -> None:
    photo = Image(np.full((60, 80, 3), colour, np.uint8))
    matte = np.zeros((60, 80), np.uint8)
    matte[:, 40:] = 255
    result = estimate_alpha(matte, photo, MattingSpec(method=method, erode=100, dilate=100), OPS)
    assert (result[:, :30] == 0).all()
    assert (result[:, 50:] == 255).all()
    assert (np.diff(result.astype(int).mean(axis=0)) >= -1).all()
    assert capfd.readouterr() == ("", "")


def test_a_photo_of_noise_can_be_solved(method: Any) -> None:
    """The photo has unrelated black and white neighbours, and windows of one colour."""
    pixels = np.repeat(np.random.default_rng(0).choice([0, 255], (60, 80, 1)), 3, axis=2).astype(np.uint8)
    pixels[:, 30:36] = 0
    matte = np.zeros((60, 80), np.uint8)
    matte[:, 40:] = 255
    result = estimate_alpha(matte, Image(pixels), MattingSpec(method=method, erode=150, dilate=150), OPS)
    assert (result[:, :25] == 0).all()
    assert (result[:, 55:] == 255).all()


def test_a_subject_at_the_border_and_a_band_without_known_neighbours(method: Any) -> None:
    photo, _ = fur(90, 120)
    matte = np.zeros((90, 120), np.uint8)
    matte[:40, :40] = 255
    matte[60:66, 80:86] = 200
    result = estimate_alpha(matte, photo, MattingSpec(method=method), OPS)
    assert (result[:30, :30] == 255).all()
    assert (result[75:, :60] == 0).all()


def test_a_crop_without_known_pixels_keeps_the_matte() -> None:
    """Edges are hard and have no band; a soft patch lies far away, with no subject around it."""
    photo, _ = fur(300, 400)
    matte = np.zeros((300, 400), np.uint8)
    matte[:50, :50] = 255
    matte[200:220, 300:330] = 100
    result = estimate_alpha(matte, photo, MattingSpec(method="closed_form", erode=0, dilate=0), OPS)
    np.testing.assert_array_equal(result, matte)


def test_threads_take_turns() -> None:
    photo, truth = fur(120, 160)
    matte = coarse(truth, 3)
    results: list[Any] = []

    def work() -> None:
        results.append([estimate_alpha(matte, photo, MattingSpec(method=method), OPS) for method in METHODS])

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    assert len(results) == 3


def test_one_core_is_enough() -> None:
    import numba

    photo, truth = fur(60, 80)
    estimate_alpha(truth, photo, MattingSpec(method="knn"), OPS)
    assert numba.get_num_threads() == 1


@pytest.mark.parametrize("device", DEVICES)
def test_from_device_memory(device: str, method: Any) -> None:
    ops: Any = back_end(device)
    photo, truth = fur(90, 120)
    trimap = build_trimap(coarse(truth, 3), 10, 30, OPS)
    sent = [ops.to_device(plane) for plane in (trimap, trimap)]
    result = ops.to_host(solve_exact(*sent, Image(ops.to_device(photo.pixels)), method, ops))
    np.testing.assert_array_equal(result, solve_exact(trimap, trimap, photo, method, OPS))


def test_the_solver_solves() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(60, 60))
    matrix, wanted = half @ half.T + np.diag(rng.uniform(1, 100, 60)), rng.random(60)
    system = System(matrix.dot, matrix.diagonal(), matrix @ wanted)
    np.testing.assert_allclose(_conjugate_gradients(system, np.zeros(60)), wanted, atol=1e-3)
    np.testing.assert_array_equal(_conjugate_gradients(system, wanted), wanted)
    nothing = System(matrix.dot, matrix.diagonal(), np.zeros(60))
    np.testing.assert_array_equal(_conjugate_gradients(nothing, np.zeros(60)), np.zeros(60))


def test_the_solver_needs_no_more_steps_than_unknowns() -> None:
    """The system is a chain with ends of 0 and 1: steepest descent would take tens of thousands of steps."""
    matrix = 2 * np.eye(300) - np.eye(300, k=1) - np.eye(300, k=-1)
    right = np.zeros(300)
    right[-1] = 1
    solution = _conjugate_gradients(System(matrix.dot, matrix.diagonal(), right), np.zeros(300))
    np.testing.assert_allclose(solution, np.arange(1, 301) / 301, atol=1e-3)


def test_the_solver_stops_without_a_descent_direction() -> None:
    flat = System(np.zeros_like, np.ones(3), np.ones(3))
    np.testing.assert_array_equal(_conjugate_gradients(flat, np.full(3, 0.5)), np.full(3, 0.5))


@pytest.mark.parametrize("method", METHODS)
def test_a_wide_band_is_solved_at_a_smaller_size(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown: list[int] = []
    monkeypatch.setattr(exact_matting, "_solve", lambda _, method, pixels, known, alpha: note(known) or alpha)

    def note(known: Any) -> None:
        unknown.append(int((known == 128).sum()))

    side = 1500
    matte = np.zeros((side, side), np.uint8)
    matte[500:1000, 500:1000] = 255
    photo = Image(np.zeros((side, side, 3), np.uint8))
    estimate_alpha(matte, photo, MattingSpec(method=method, erode=100, dilate=200), OPS)
    (one,) = unknown
    assert 0.5 * METHODS[method].max_unknown < one < 1.05 * METHODS[method].max_unknown


def test_a_solver_that_does_not_converge_returns_its_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "closed_form", METHODS["closed_form"]._replace(max_steps=3))
    photo, truth = fur(150, 201)
    matte = coarse(truth, 5)
    result = estimate_alpha(matte, photo, MattingSpec(method="closed_form", erode=10, dilate=40), OPS)
    assert sum_of_absolute_differences(result, truth) < sum_of_absolute_differences(matte, truth)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ImportError("no pymatting"), "run `make setup` in the checkout"),
        (RuntimeError("no locator"), "NUMBA_CACHE_DIR"),
    ],
)
def test_without_pymatting_the_option_is_refused(
    monkeypatch: pytest.MonkeyPatch, error: Exception, advice: str
) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name == "pymatting":
            raise error
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    photo, truth = fur(60, 80)
    with pytest.raises(InvalidOption, match=advice):
        estimate_alpha(truth, photo, MattingSpec(method="knn"), OPS)
    assert estimate_alpha(truth, photo, MattingSpec(), OPS).shape == (60, 80)
    hard = np.where(truth > 127, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(estimate_alpha(hard, photo, MattingSpec(method="knn", erode=0, dilate=0), OPS), hard)


def test_pymatting_is_imported_only_when_needed() -> None:
    code = "import sys, cutstream.matting.alpha_matting; sys.exit('pymatting' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
