from __future__ import annotations

import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.errors import InvalidOption, RegionOutOfBounds, UnknownForeground
from cutstream.images import Image
from cutstream.matting.composite import Composition, check_options, compose
from cutstream.messages import BoundingBox, Request
from cutstream.options import Background, RefineParameters

OPS = CpuOps()
HEIGHT, WIDTH = 60, 100


@pytest.fixture
def photo() -> Image:
    return Image(np.random.default_rng(5).integers(1, 256, (HEIGHT, WIDTH, 3), np.uint8))


@pytest.fixture
def matte() -> np.ndarray:
    """A subject of 40 × 20 pixels at (30, 20), its first column half transparent."""
    matte = np.zeros((HEIGHT, WIDTH), np.uint8)
    matte[20:40, 30:70] = 255
    matte[20:40, 30] = 128
    return matte


def made(photo: Image, matte: np.ndarray, **options: object) -> Composition:
    request = Request(image="s3://bucket/photo.jpg", **options)  # type: ignore[arg-type]
    check_options(request)
    return compose(photo, matte, request, OPS)


def only(composition: Composition) -> np.ndarray:
    (layer,) = composition.outputs
    assert layer.pixels.flags.c_contiguous
    return layer.pixels


def test_cutout_is_straight_alpha_with_nothing_hidden(photo: Image, matte: np.ndarray) -> None:
    cutout = only(made(photo, matte))
    np.testing.assert_array_equal(cutout[..., 3], matte)
    np.testing.assert_array_equal(cutout[matte > 0][:, :3], photo.pixels[matte > 0])
    assert (cutout[matte == 0] == 0).all()


def test_what_is_known_of_the_subject(photo: Image, matte: np.ndarray) -> None:
    composition = made(photo, matte)
    assert composition.bbox == BoundingBox(
        foreground_left=30, foreground_top=20, foreground_width=40, foreground_height=20
    )
    assert composition.coverage == pytest.approx(matte.mean() / 255)


def test_outputs_come_in_the_order_asked_for(photo: Image, matte: np.ndarray) -> None:
    layers = made(photo, matte, outputs=("mask", "composite", "cutout")).outputs
    assert [(layer.name, layer.pixels.shape[2:]) for layer in layers] == [
        ("mask", ()),
        ("composite", (3,)),
        ("cutout", (4,)),
    ]


def test_alpha_channel_instead_of_the_cutout(photo: Image, matte: np.ndarray) -> None:
    np.testing.assert_array_equal(only(made(photo, matte, channels="alpha")), matte)


def test_composite_on_a_colour(photo: Image, matte: np.ndarray) -> None:
    picture = only(made(photo, matte, outputs=("composite",), background=Background(color="#0000ff")))
    assert (picture[matte == 0] == (0, 0, 255)).all()
    np.testing.assert_array_equal(picture[matte == 255], photo.pixels[matte == 255])
    half = photo.pixels[20, 30] * (128 / 255) + np.array((0, 0, 255)) * (127 / 255)
    np.testing.assert_array_equal(picture[20, 30], np.rint(half))


def test_crop_with_margin(photo: Image, matte: np.ndarray) -> None:
    composition = made(photo, matte, crop=True, crop_margin="5 10% 30 50px", outputs=("mask",))
    np.testing.assert_array_equal(only(composition), matte[15:60, 0:74])
    assert composition.bbox is not None
    assert composition.bbox.foreground_left == 30


def test_crop_to_nothing(photo: Image) -> None:
    with pytest.raises(UnknownForeground, match="crop"):
        made(photo, np.zeros((HEIGHT, WIDTH), np.uint8), crop=True)


def test_nothing_found_without_crop_is_an_empty_cutout(photo: Image) -> None:
    composition = made(photo, np.zeros((HEIGHT, WIDTH), np.uint8))
    assert composition.bbox is None
    assert composition.coverage == 0
    assert not only(composition).any()


def test_roi_is_where_the_subject_may_be(photo: Image, matte: np.ndarray) -> None:
    composition = made(photo, matte, roi="50 0 100% 30", outputs=("mask",))
    expected = np.zeros_like(matte)
    expected[20:30, 50:70] = 255
    np.testing.assert_array_equal(only(composition), expected)
    assert composition.bbox == BoundingBox(
        foreground_left=50, foreground_top=20, foreground_width=20, foreground_height=10
    )
    assert matte[25, 35] == 255


def test_roi_beyond_the_picture(photo: Image, matte: np.ndarray) -> None:
    with pytest.raises(RegionOutOfBounds):
        made(photo, matte, roi="0 0 101 60")


@pytest.mark.parametrize(("size", "most"), [("preview", 250_000), ("medium", 1_500_000)])
@pytest.mark.parametrize("outputs", [("cutout",), ("composite",), ("mask",)])
def test_size_limits_the_output(size: str, most: int, outputs: tuple[str, ...]) -> None:
    photo = Image(np.full((1100, 1700, 3), (200, 100, 50), np.uint8))
    matte = np.zeros((1100, 1700), np.uint8)
    matte[300:800, 300:900] = 255
    composition = made(photo, matte, size=size, outputs=outputs)
    height, width = only(composition).shape[:2]
    assert 0.99 * most < height * width <= most
    assert width / height == pytest.approx(1700 / 1100, rel=0.01)
    assert composition.bbox is not None
    assert composition.bbox.foreground_width == 600


def test_a_smaller_cutout_keeps_the_subjects_colour_up_to_its_edge() -> None:
    pixels = np.full((1000, 1000, 3), (0, 255, 0), np.uint8)
    matte = np.zeros((1000, 1000), np.uint8)
    pixels[:, 333:], matte[:, 333:] = (255, 0, 0), 255
    cutout = only(made(Image(pixels), matte, size="preview"))
    visible = cutout[cutout[..., 3] > 0]
    assert (visible[:, :3] == (255, 0, 0)).all()
    assert ((visible[:, 3] > 0) & (visible[:, 3] < 255)).any()


@pytest.mark.parametrize(("rule", "expected"), [("ignore", 200), ("keep", 100), ("multiply", 78)])
def test_existing_alpha(rule: str, expected: int) -> None:
    photo = Image(np.zeros((3, 4, 3), np.uint8), alpha=np.full((3, 4), 100, np.uint8))
    matte = np.full((3, 4), 200, np.uint8)
    assert (only(made(photo, matte, existing_alpha=rule, outputs=("mask",))) == expected).all()


def test_a_photo_without_alpha_has_none_to_keep(photo: Image, matte: np.ndarray) -> None:
    np.testing.assert_array_equal(only(made(photo, matte, existing_alpha="keep", outputs=("mask",))), matte)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"refine": "sharp"}, InvalidOption, "soft, base"),
        ({"refine": RefineParameters(kernel=99, close=20)}, InvalidOption, "footprint"),
        ({"roi": "1 2 3"}, InvalidOption, "roi"),
        ({"roi": "10 10 5 20"}, InvalidOption, "left top corner first"),
        ({"roi": "10% 40% 50% 40%"}, InvalidOption, "left top corner first"),
        ({"roi": "0% 0% 120% 50%"}, RegionOutOfBounds, "100 %"),
        ({"crop": True, "crop_margin": "60%"}, InvalidOption, "50 %"),
        ({"crop_margin": "10%"}, InvalidOption, "without `crop`"),
        ({"background": Background(color="blurple")}, InvalidOption, "blurple"),
    ],
)
def test_options_are_checked_before_any_work(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_options(Request(image="s3://bucket/photo.jpg", **options))  # type: ignore[arg-type]


def test_the_default_request_passes() -> None:
    check_options(Request(image="s3://bucket/photo.jpg"))
