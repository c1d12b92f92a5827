"""The steps between networks, on the served graphs, with radii and thresholds of the settings."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest

from cutstream.settings import GlueSettings
from export.glue.configure import LONG_SIDE, configure_glue
from export.profiles import glue_file, size_of
from tests.support.models import disc_of

SIDE = 250
PX = SIDE / LONG_SIDE
SOFT = GlueSettings(depth_edge_radius=0, depth_close_radius=0, depth_open_radius=0)


def run(step: str, settings: GlueSettings = SOFT, **maps: np.ndarray) -> np.ndarray:
    height, width = next(iter(maps.values())).shape
    graph = configure_glue(step, height, width, settings).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {name: values[None] for name, values in maps.items()})[0][0]


def square(radius: int) -> np.ndarray:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def scene(near: int = 200, far: int = 40) -> np.ndarray:
    """u8 depth of a disc in front of a wall, both slightly noisy."""
    noise = np.random.default_rng(3).integers(-6, 7, (SIDE, SIDE))
    return (np.where(disc_of((120, 100), 50, SIDE), near, far) + noise).astype(np.uint8)


@pytest.mark.parametrize("pair", ["0/0", "0/20", "10/30", "20/30", "20/40", "50/60"])
def test_the_trimap_is_the_mask_eroded_and_dilated(pair: str) -> None:
    mask = np.where(disc_of((120, 100), 60, SIDE), 220, 30).astype(np.uint8)
    erode, dilate = (round(int(px) * PX) for px in pair.split("/"))
    certain = cv2.erode((mask >= 128).astype(np.uint8), square(erode))
    possible = cv2.dilate((mask >= 128).astype(np.uint8), square(dilate))
    expected = np.where(certain, 255, np.where(possible, 128, 0))
    assert np.array_equal(run("trimap", GlueSettings(trimap=pair), semantics=mask), expected)


def test_the_trimap_knows_nothing_beyond_the_border() -> None:
    everywhere = np.full((SIDE, SIDE), 255, np.uint8)
    assert run("trimap", semantics=everywhere).min() == 255


def test_the_near_region_is_found_by_otsus_threshold() -> None:
    depth = scene()
    expected, _ = cv2.threshold(depth, 0, 255, cv2.THRESH_OTSU)
    found = run("depth_foreground", SOFT.model_copy(update={"depth_edge_threshold": 2.0}), depth=depth)
    assert np.array_equal(found == 255, depth > expected)
    assert np.array_equal(found == 255, disc_of((120, 100), 50, SIDE))


def test_a_flat_depth_has_no_foreground() -> None:
    assert not run("depth_foreground", depth=np.full((SIDE, SIDE), 77, np.uint8)).any()


def test_contours_are_cut_away_as_wide_as_the_settings_say() -> None:
    depth = np.where(disc_of((120, 100), 50, SIDE), 200, 40).astype(np.uint8)
    narrow, wide = (
        run("depth_foreground", SOFT.model_copy(update={"depth_edge_radius": radius}), depth=depth)
        for radius in (0.0, 20.0)
    )
    expected = cv2.erode(narrow, square(round(20 * PX)))
    assert 0 < (wide == 255).sum() < (narrow == 255).sum()
    # The contour itself is two pixels wide, half of them outside.
    assert np.mean(wide != expected) < 0.005


def test_gaps_are_closed_and_specks_are_dropped() -> None:
    depth = np.full((SIDE, SIDE), 40, np.uint8)
    depth[60:180, 60:180] = 200
    depth[100:104, 60:180] = 40  # a gap
    depth[20:24, 20:24] = 200  # a speck
    sure = SOFT.model_copy(update={"depth_edge_threshold": 2.0, "depth_close_radius": 12.0, "depth_open_radius": 12.0})
    found = run("depth_foreground", sure, depth=depth)
    assert found[60:180, 60:180].min() == 255
    assert not found[15:30, 15:30].any()


def test_the_intersection_is_as_sure_as_the_less_sure_map() -> None:
    maps = np.random.default_rng(5).integers(0, 256, (2, SIDE, SIDE), np.uint8)
    assert np.array_equal(run("intersection", near=maps[0], semantics=maps[1]), maps.min(axis=0))


@pytest.mark.parametrize("step", ["depth_foreground", "intersection", "trimap"])
def test_a_step_is_as_large_as_its_committed_configuration(step: str) -> None:
    graph = configure_glue(step, *size_of(step), GlueSettings()).graph
    for value in (*graph.input, *graph.output):
        assert [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]] == list(size_of(step))


def people(boxes: list[tuple[float, float, float, float]], scores: np.ndarray) -> np.ndarray:
    """Return the matte of detections with certain masks. `scores` are classes × boxes."""
    detections = np.zeros((1, 116, 8400), np.float32)
    detections[0, :4, : len(boxes)] = np.array(boxes).T
    detections[0, 4 : 4 + len(scores), : len(boxes)] = scores
    detections[0, 84] = 1.0
    prototypes = np.zeros((1, 32, 160, 160), np.float32)
    prototypes[0, 0] = 20.0
    session = onnxruntime.InferenceSession(glue_file("people_matte"), providers=["CPUExecutionProvider"])
    return session.run(None, {"detections": detections, "prototypes": prototypes})[0][0]


def test_people_are_the_union_of_their_masks_in_their_boxes() -> None:
    matte = people([(160, 160, 80, 160), (480, 320, 160, 80)], np.array([[0.9, 0.6]]))
    subject = matte >= 128
    assert subject[80:240, 120:200].mean() > 0.98
    assert subject[280:360, 400:560].mean() > 0.98
    assert subject.sum() < 1.05 * (80 * 160 + 160 * 80)


def test_other_classes_and_the_unlikely_are_no_people() -> None:
    boxes = [(160.0, 160.0, 80.0, 160.0)] * 2
    assert not people(boxes, np.array([[0.2, 0.5], [0.0, 0.7]])).any()


def boxes_of(detections: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(glue_file("people_boxes"), providers=["CPUExecutionProvider"])
    return session.run(None, {"detections": detections})[0]


@pytest.mark.parametrize("count", [0, 3, 40, 200])
def test_boxes_are_those_that_opencv_keeps(count: int) -> None:
    chooser = np.random.default_rng(count)
    detections = np.zeros((2, 116, 8400), np.float32)
    for one in detections[:, :, :count]:
        one[:2] = chooser.uniform(0, 640, (2, count))
        one[2:4] = chooser.uniform(30, 250, (2, count))
        one[4:6] = chooser.random((2, count))
    for one, found in zip(detections[:, :, :count], boxes_of(detections), strict=True):
        corners = np.concatenate([one[:2] - one[2:4] / 2, one[2:4]]).T  # left, top, width, height
        person = one[4] * (one[4] >= one[5])
        kept = cv2.dnn.NMSBoxes(corners.tolist(), person.tolist(), 0.25, 0.5)[:8] if count else []
        expected = np.zeros((8, 4))
        for place, (x, y, width, height) in enumerate(corners[number] for number in kept):
            expected[place] = np.clip(np.array([x, y, x + width, y + height]) / 640, 0, 1)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_box_without_an_area_takes_no_more_than_one_place() -> None:
    detections = np.zeros((1, 116, 8400), np.float32)
    detections[0, :5, 0] = 320, 320, 0, 0, 0.9
    detections[0, :5, 1] = 320, 320, 64, 128, 0.8
    np.testing.assert_allclose(boxes_of(detections)[0, :3, 0], [0.5, 0.45, 0.0], atol=1e-6)
