from __future__ import annotations

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.foreground_layer import ForegroundLayer
from cutstream.compositing.placement import Placement, place, place_plane, resolve_placement
from cutstream.contract.messages import Request
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import InvalidOption
from cutstream.images.geometry import Box
from cutstream.matting.measure import measure

OPS = CpuOps()
WIDTH, HEIGHT = 100, 60
FRAME, SUBJECT = Box(0, 0, WIDTH, HEIGHT), Box(30, 20, 70, 40)


def resolved(frame: Box = FRAME, subject: Box = SUBJECT, **options: object) -> Placement:
    spec = parse_recipe(Request(image="a", **options)).composition.placement  # type: ignore[arg-type]
    return resolve_placement(frame, subject, spec)


def photo() -> ForegroundLayer:
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[SUBJECT.slices] = 255
    pixels = np.random.default_rng(5).integers(1, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return ForegroundLayer(pixels, alpha)


def placed(**options: str) -> ForegroundLayer:
    return place(photo(), resolved(**options), OPS)


def box_of(subject: ForegroundLayer) -> Box:
    box = measure(subject.alpha, OPS).box
    assert box is not None
    return box


def test_without_options_the_photo_stays_as_it_is() -> None:
    there = placed()
    np.testing.assert_array_equal(there.pixels, photo().pixels)
    np.testing.assert_array_equal(there.alpha, photo().alpha)


@pytest.mark.parametrize(
    ("options", "size", "box"),
    [
        ({"canvas": "200x120"}, (200, 120), Box(60, 40, 140, 80)),
        ({"canvas": "100x100"}, (100, 100), Box(30, 40, 70, 60)),
        ({"canvas": "50x30"}, (50, 30), Box(15, 10, 35, 20)),
        ({"canvas": "200x120", "scale": "original"}, (200, 120), Box(80, 50, 120, 70)),
        ({"scale": "100%"}, (100, 60), Box(0, 5, 100, 55)),
        ({"scale": "50%"}, (100, 60), Box(25, 18, 75, 42)),
        ({"scale": "50%", "position": "0%"}, (100, 60), Box(0, 0, 50, 25)),
        ({"scale": "50%", "position": "100% 0%"}, (100, 60), Box(50, 0, 100, 25)),
        ({"scale": "50%", "position": "original"}, (100, 60), Box(25, 18, 75, 42)),
        ({"position": "center"}, (100, 60), Box(30, 20, 70, 40)),
        ({"position": "100%"}, (100, 60), Box(60, 40, 100, 60)),
        ({"position": "original"}, (100, 60), Box(30, 20, 70, 40)),
        ({"canvas": "20x10", "scale": "original"}, (20, 10), Box(0, 0, 20, 10)),
        ({"canvas": "300x300", "scale": "10%", "position": "100%"}, (300, 300), Box(270, 285, 300, 300)),
    ],
    ids=str,
)
def test_where_the_subject_goes(options: dict[str, str], size: tuple[int, int], box: Box) -> None:
    there = placed(**options)
    assert (there.alpha.shape[1], there.alpha.shape[0]) == size
    assert there.pixels.shape == (*there.alpha.shape, 3)
    np.testing.assert_allclose(box_of(there), box, atol=1)


def test_the_size_limit_holds_for_the_canvas_and_the_subject() -> None:
    there = placed(canvas="2000x1000", size="preview", scale="50%", position="0%")
    height, width = there.alpha.shape
    assert 0.99 * 250_000 < width * height <= 250_000
    assert width / height == pytest.approx(2, rel=0.01)
    np.testing.assert_allclose(box_of(there), (0, 0, width / 2, width / 4), atol=5)


def test_a_small_subject_on_a_large_canvas_takes_no_memory_beyond_it() -> None:
    where = resolved(Box(0, 0, 4000, 3000), Box(10, 10, 14, 14), canvas="2000x2000", scale="100%")
    assert where.source.width * where.source.height < 100
    assert where.target.width < 2600


def test_planes_of_the_photo_are_placed_like_the_photo() -> None:
    where = resolved(canvas="50x50", position="0% 100%")
    plane = place_plane(photo().alpha, where, OPS)
    np.testing.assert_allclose(measure(plane, OPS).box, box_of(place(photo(), where, OPS)), atol=1)


def test_a_cropped_frame_fits_on_the_canvas() -> None:
    frame = Box(25, 15, 75, 45)
    there = place(photo().crop(frame), resolved(frame, crop=True, canvas="500x300"), OPS)
    np.testing.assert_allclose(box_of(there), (50, 50, 450, 250), atol=10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"canvas": "200"}, "1200x1600"),
        ({"canvas": "0x10"}, "0 pixels"),
        ({"canvas": "99999x99999"}, "50,000,000"),
        ({"scale": "5%"}, "10 %"),
        ({"scale": "300px"}, "10 %"),
        ({"scale": "20% 30%"}, "10 %"),
        ({"position": "left"}, "not a length"),
        ({"position": "10% 20% 30%"}, "position"),
        ({"position": "120%"}, "100 %"),
        ({"position": " "}, "1 or 2 values"),
    ],
)
def test_texts_that_make_no_sense_are_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        resolved(**options)
