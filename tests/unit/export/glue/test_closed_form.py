"""Closed-form matting: Laplacian against definition, solution against a direct one, and the graph on pictures."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest

from export.profiles import glue_file

SIDE = 512


def matte_of(picture: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(glue_file("closed_form"), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": picture[None], "trimap": trimap[None]})[0][0]


def strands() -> np.ndarray:
    """Return f64 alpha of a head with hairs a few pixels wide."""
    drawn = np.zeros((SIDE * 4, SIDE * 4), np.uint8)
    centre = np.array([SIDE * 2, SIDE * 2])
    cv2.circle(drawn, centre.tolist(), SIDE, 255, -1)
    for angle in np.linspace(0, 2 * np.pi, 90, endpoint=False):
        ends = [centre + radius * np.array([np.cos(angle), np.sin(angle)]) for radius in (SIDE - 8, SIDE * 1.25)]
        cv2.line(drawn, *(tuple(end.astype(int).tolist()) for end in ends), 255, 7)
    return cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / 255


def on_smooth_colours(alpha: np.ndarray, *, grey: bool = False) -> np.ndarray:
    across = np.linspace(0, 1, SIDE)[None, :, None]
    subject = np.array([170.0, 110, 70]) - 40 * across
    behind = np.array([40.0, 60, 120]) + 60 * across.transpose(1, 0, 2)
    picture = alpha[..., None] * subject + (1 - alpha[..., None]) * behind
    if grey:
        picture = np.repeat(picture[..., :1], 3, axis=2)
    return picture.round().astype(np.uint8)


def trimap_of(alpha: np.ndarray) -> np.ndarray:
    distance = cv2.distanceTransform((alpha > 0.9).astype(np.uint8), cv2.DIST_L2, 5)
    possible = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
    return np.where(distance > 12, 255, np.where(possible, 128, 0)).astype(np.uint8)


@pytest.mark.parametrize("grey", [False, True])
def test_hair_is_found_in_an_automatic_trimap(grey: bool) -> None:
    alpha = strands()
    trimap = trimap_of(alpha)
    unknown = trimap == 128
    matte = matte_of(on_smooth_colours(alpha, grey=grey), trimap)
    error = np.abs(matte / 255 - alpha)[unknown].mean()
    assert error < 0.25 * np.abs(trimap / 255 - alpha)[unknown].mean()
    assert (matte[trimap == 255].min(), matte[trimap == 0].max()) == (255, 0)


@pytest.mark.parametrize("level", [0, 255])
def test_where_all_is_known_nothing_is_solved(level: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert np.all(matte_of(picture, np.full((SIDE, SIDE), level, np.uint8)) == level)


def test_where_nothing_is_known_alpha_stays_constant() -> None:
    """Every alpha that the colours explain is equally good, so it keeps its constant initial value."""
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert np.ptp(matte_of(picture, np.full((SIDE, SIDE), 128, np.uint8))) <= 1


HEIGHT, WIDTH, RADIUS, EPSILON = 9, 11, 1, 1e-4


def by_definition(colours: np.ndarray) -> np.ndarray:
    """Return L, f64 HW×HW, by equation 12 of A. Levin et al., divided by a window's pixels."""
    index = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    laplacian = np.zeros((index.size, index.size))
    for y in range(RADIUS, HEIGHT - RADIUS):
        for x in range(RADIUS, WIDTH - RADIUS):
            inside = index[y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1].ravel()
            window = colours.reshape(-1, 3)[inside]
            centred = window - window.mean(axis=0)
            covariance = centred.T @ centred / len(inside) + EPSILON / len(inside) * np.eye(3)
            affinity = (1 + centred @ np.linalg.inv(covariance) @ centred.T) / len(inside)
            laplacian[np.ix_(inside, inside)] += np.eye(len(inside)) - affinity
    return laplacian / (2 * RADIUS + 1) ** 2


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(4).random((HEIGHT, WIDTH, 3))


def as_planes(values: np.ndarray):
    import torch

    return torch.from_numpy(np.atleast_3d(values).transpose(2, 0, 1)[None].astype(np.float32))


def test_box_filters_give_the_product_with_the_laplacian(colours: np.ndarray) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra `export`)")
    from export.glue.closed_form import Laplacian

    alpha = np.random.default_rng(5).random((HEIGHT, WIDTH))
    given = Laplacian(as_planes(colours), RADIUS, EPSILON)(as_planes(alpha))[0, 0].numpy()
    assert np.abs(given - (by_definition(colours) @ alpha.ravel()).reshape(HEIGHT, WIDTH)).max() < 1e-5


def test_the_solution_is_the_direct_one(colours: np.ndarray) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra `export`)")
    from export.glue.closed_form import Laplacian, solve

    given = np.full((HEIGHT, WIDTH), 0.5)
    given[:, :2], given[:, -2:] = 0, 1
    unknown = (given == 0.5).ravel()
    laplacian, expected = by_definition(colours), given.ravel().copy()
    expected[unknown] = np.linalg.solve(
        laplacian[np.ix_(unknown, unknown)], -laplacian[np.ix_(unknown, ~unknown)] @ expected[~unknown]
    )
    known = as_planes(given)
    found = solve(Laplacian(as_planes(colours), RADIUS, EPSILON), known, known, 200)[0, 0].numpy()
    assert np.abs(found - expected.reshape(HEIGHT, WIDTH)).max() < 1e-3
