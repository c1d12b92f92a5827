from __future__ import annotations

import cv2
import numpy as np
import pytest

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.compose import Composition, combine_with_existing, compose, is_cut_out
from cutstream.contract.messages import Request
from cutstream.contract.options import Background, Gradient, Harmonise, Light, Perspective, Shadow
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import RegionOutOfBounds, UnknownForeground
from cutstream.images import Image
from cutstream.images.geometry import Box

OPS = CpuOps()
HEIGHT, WIDTH = 60, 100
BLUE = Background(color="#0000ff")


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


def composed(photo: Image, matte: np.ndarray, **options: object) -> Composition:
    request = Request(image="s3://bucket/photo.jpg", **options)  # type: ignore[arg-type]
    return compose(photo, matte, parse_recipe(request).composition, OPS)


def only(composition: Composition) -> np.ndarray:
    (output,) = composition.outputs
    (layer,) = output.layers
    assert layer.pixels.flags.c_contiguous
    return layer.pixels


def test_cutout_is_straight_alpha_with_nothing_hidden(photo: Image, matte: np.ndarray) -> None:
    cutout = only(composed(photo, matte))
    np.testing.assert_array_equal(cutout[..., 3], matte)
    np.testing.assert_array_equal(cutout[matte > 0][:, :3], photo.pixels[matte > 0])
    assert (cutout[matte == 0] == 0).all()


def test_the_subjects_box_and_coverage(photo: Image, matte: np.ndarray) -> None:
    composition = composed(photo, matte)
    assert composition.box == Box(30, 20, 70, 40)
    assert composition.coverage == pytest.approx(matte.mean() / 255)


def test_outputs_come_in_the_requested_order(photo: Image, matte: np.ndarray) -> None:
    outputs = composed(photo, matte, outputs=("mask", "composite", "cutout", "overlay", "background")).outputs
    assert [(output.name, output.layers[0].pixels.shape[2:]) for output in outputs] == [
        ("mask", ()),
        ("composite", (3,)),
        ("cutout", (4,)),
        ("overlay", (3,)),
        ("background", (3,)),
    ]


def test_alpha_channel_instead_of_the_cutout(photo: Image, matte: np.ndarray) -> None:
    np.testing.assert_array_equal(only(composed(photo, matte, channels="alpha")), matte)


def test_composite_on_a_colour(photo: Image, matte: np.ndarray) -> None:
    picture = only(composed(photo, matte, outputs=("composite",), background=BLUE, decontaminate=False))
    assert (picture[matte == 0] == (0, 0, 255)).all()
    np.testing.assert_array_equal(picture[matte == 255], photo.pixels[matte == 255])
    half = photo.pixels[20, 30] * (128 / 255) + np.array((0, 0, 255)) * (127 / 255)
    np.testing.assert_array_equal(picture[20, 30], np.rint(half))


def test_crop_with_margin(photo: Image, matte: np.ndarray) -> None:
    composition = composed(photo, matte, crop=True, crop_margin="5 10% 30 50px", outputs=("mask",))
    np.testing.assert_array_equal(only(composition), matte[15:60, 0:74])
    assert composition.box.left == 30


@pytest.mark.parametrize("output", ["cutout", "mask", "composite", "layers"])
def test_an_empty_matte_is_never_a_blank_output(photo: Image, output: str) -> None:
    with pytest.raises(UnknownForeground, match="no subject"):
        composed(photo, np.zeros((HEIGHT, WIDTH), np.uint8), outputs=(output,))


def test_a_region_without_a_subject(photo: Image, matte: np.ndarray) -> None:
    with pytest.raises(UnknownForeground, match="roi"):
        composed(photo, matte, roi="0 0 20 20")


def test_roi_limits_the_subject(photo: Image, matte: np.ndarray) -> None:
    composition = composed(photo, matte, roi="50 0 100% 30", outputs=("mask",))
    expected = np.zeros_like(matte)
    expected[20:30, 50:70] = 255
    np.testing.assert_array_equal(only(composition), expected)
    assert composition.box == Box(50, 20, 70, 30)
    assert matte[25, 35] == 255


def test_roi_beyond_the_photo(photo: Image, matte: np.ndarray) -> None:
    with pytest.raises(RegionOutOfBounds):
        composed(photo, matte, roi="0 0 101 60")


@pytest.mark.parametrize(("size", "most"), [("preview", 250_000), ("medium", 1_500_000)])
@pytest.mark.parametrize("outputs", [("cutout",), ("composite",), ("mask",)])
def test_size_limits_the_output(size: str, most: int, outputs: tuple[str, ...]) -> None:
    photo = Image(np.full((1100, 1700, 3), (200, 100, 50), np.uint8))
    matte = np.zeros((1100, 1700), np.uint8)
    matte[300:800, 300:900] = 255
    composition = composed(photo, matte, size=size, outputs=outputs)
    height, width = only(composition).shape[:2]
    assert 0.99 * most < height * width <= most
    assert width / height == pytest.approx(1700 / 1100, rel=0.01)
    assert composition.box.width == 600


def test_a_smaller_cutout_keeps_the_subjects_colour_up_to_its_edge() -> None:
    pixels = np.full((1000, 1000, 3), (0, 255, 0), np.uint8)
    matte = np.zeros((1000, 1000), np.uint8)
    pixels[:, 333:], matte[:, 333:] = (255, 0, 0), 255
    cutout = only(composed(Image(pixels), matte, size="preview"))
    visible = cutout[cutout[..., 3] > 0]
    assert (visible[:, :3] == (255, 0, 0)).all()
    assert ((visible[:, 3] > 0) & (visible[:, 3] < 255)).any()


@pytest.mark.parametrize(("rule", "expected"), [("ignore", 200), ("keep", 100), ("multiply", 78)])
def test_existing_alpha(rule: str, expected: int) -> None:
    photo = Image(np.zeros((3, 4, 3), np.uint8), alpha=np.full((3, 4), 100, np.uint8))
    matte = np.full((3, 4), 200, np.uint8)
    assert (only(composed(photo, matte, existing_alpha=rule, outputs=("mask",))) == expected).all()


def drawn_alpha(*visible: tuple[slice, slice]) -> np.ndarray:
    alpha = np.zeros((100, 200), np.uint8)
    for place in visible:
        alpha[place] = 255
    return alpha


ROUNDED = cv2.copyMakeBorder(np.full((80, 180), 255, np.uint8), 10, 10, 10, 10, cv2.BORDER_CONSTANT)
ROUNDED = cv2.dilate(ROUNDED, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21)))


@pytest.mark.parametrize(
    ("alpha", "cut_out"),
    [
        pytest.param(drawn_alpha((slice(20, 80), slice(50, 150))), True, id="a subject in the middle"),
        pytest.param(drawn_alpha((slice(20, 100), slice(10, 190))), True, id="a portrait that ends below"),
        pytest.param(drawn_alpha(), True, id="nothing is visible"),
        pytest.param(ROUNDED, False, id="rounded corners"),
        pytest.param(255 - drawn_alpha((slice(40, 60), slice(80, 120))), False, id="a hole"),
        pytest.param(np.full((100, 200), 255, np.uint8), False, id="opaque"),
        pytest.param(np.full((1, 1), 0, np.uint8), True, id="one pixel"),
    ],
)
def test_a_photo_that_is_cut_out_already_keeps_its_own_alpha(alpha: np.ndarray, cut_out: bool) -> None:
    assert is_cut_out(alpha, CpuOps()) == cut_out
    matte = np.full(alpha.shape, 200, np.uint8)
    chosen = combine_with_existing(matte, alpha, "auto", CpuOps())
    np.testing.assert_array_equal(chosen, alpha if cut_out else matte)


def test_a_photo_without_alpha_keeps_the_matte(photo: Image, matte: np.ndarray) -> None:
    np.testing.assert_array_equal(only(composed(photo, matte, existing_alpha="keep", outputs=("mask",))), matte)


class Picture:
    """A picture of one colour that records its calls."""

    def __init__(self, colour: tuple[int, int, int]) -> None:
        self._colour = colour
        self.calls: list[object] = []

    def fit(self, width: int, height: int, fit: str, colour: tuple[int, int, int]) -> np.ndarray:
        self.calls.append((width, height, fit, colour))
        return np.full((height, width, 3), self._colour, np.uint8)


def composed_on(photo: Image, matte: np.ndarray, picture: Picture, **options: object) -> Composition:
    request = Request(image="s3://bucket/photo.jpg", **options)  # type: ignore[arg-type]
    return compose(photo, matte, parse_recipe(request).composition, OPS, picture)  # type: ignore[arg-type]


def test_composite_on_a_picture_of_the_canvas_size(photo: Image, matte: np.ndarray) -> None:
    behind = Picture((1, 2, 3))
    background = Background(image="sky", fit="contain", color="red")
    picture = only(composed_on(photo, matte, behind, outputs=("composite",), background=background, canvas="80x90"))
    assert behind.calls == [(80, 90, "contain", (255, 0, 0))]
    assert picture.shape == (90, 80, 3)
    assert (picture[0, 0] == (1, 2, 3)).all()


def test_composite_on_a_gradient_and_on_the_blurred_photo(photo: Image, matte: np.ndarray) -> None:
    gradient = Background(gradient=Gradient(colors=("black", "white"), angle=90))
    picture = only(composed(photo, matte, outputs=("composite",), background=gradient))
    assert (picture[0, 0] == 0).all()
    assert (picture[0, -1] == 255).all()
    np.testing.assert_array_equal(picture[matte == 255], photo.pixels[matte == 255])
    picture = only(composed(photo, matte, outputs=("composite",), background=Background(blur=30)))
    assert picture[matte == 0].std() < photo.pixels[matte == 0].std() / 4
    np.testing.assert_array_equal(picture[matte == 255], photo.pixels[matte == 255])


def test_composite_on_nothing_is_the_cutout(photo: Image, matte: np.ndarray) -> None:
    transparent = Background(color="transparent")
    picture = only(composed(photo, matte, outputs=("composite",), background=transparent))
    np.testing.assert_array_equal(picture, only(composed(photo, matte)))


def test_a_shadow_darkens_the_background_and_never_the_subject(photo: Image, matte: np.ndarray) -> None:
    shadow = Shadow(type="drop", light=Light(angle=270, length=0.5), softness=0, opacity=0.5)
    picture = only(composed(photo, matte, outputs=("composite",), shadow=shadow))
    np.testing.assert_array_equal(picture[matte == 255], photo.pixels[matte == 255])
    # Light from the left, half the subject's height of 20 pixels: the shadow sticks out by ten on the right.
    np.testing.assert_allclose(picture[30, 74], 128, atol=3)
    assert (picture[30, 90] == 255).all()
    assert (picture[30, 10] == 255).all()


def test_a_shadow_on_nothing_is_part_of_the_transparency(photo: Image, matte: np.ndarray) -> None:
    shadow = Shadow(type="drop", light=Light(angle=270, length=0.5), softness=0, opacity=0.5, color="#800000")
    options = {"outputs": ("composite",), "shadow": shadow, "decontaminate": False}
    over_nothing = only(composed(photo, matte, background=Background(color="transparent"), **options)).astype(float)
    share = over_nothing[..., 3:] / 255
    over_white = over_nothing[..., :3] * share + 255 * (1 - share)
    np.testing.assert_allclose(over_white, only(composed(photo, matte, **options)), atol=2)
    np.testing.assert_allclose(over_nothing[30, 74], (128, 0, 0, 128), atol=3)


def test_layers_add_up_to_the_composite(photo: Image, matte: np.ndarray) -> None:
    behind = Picture((10, 200, 30))
    options = {"background": Background(image="lawn"), "shadow": "contact", "harmonise": Harmonise(strength=1)}
    composition = composed_on(photo, matte, behind, outputs=("layers", "composite"), **options)
    layers, composite = composition.outputs
    assert [layer.name for layer in layers.layers] == ["background", "shadow", "cutout"]
    stacked = layers.layers[0].pixels.astype(float)
    for layer in layers.layers[1:]:
        share = layer.pixels[..., 3:] / 255
        stacked = layer.pixels[..., :3] * share + stacked * (1 - share)
    np.testing.assert_allclose(stacked, composite.layers[0].pixels, atol=1.5)


def test_layers_on_nothing(photo: Image, matte: np.ndarray) -> None:
    composition = composed(photo, matte, outputs=("layers",), background=Background(color="transparent"))
    assert [layer.name for layer in composition.outputs[0].layers] == ["cutout"]


def test_a_zipped_cutout_has_whole_colours_and_their_alpha(photo: Image, matte: np.ndarray) -> None:
    (output,) = composed(photo, matte, format="zip").outputs
    assert [layer.name for layer in output.layers] == ["color", "alpha"]
    np.testing.assert_array_equal(output.layers[0].pixels, photo.pixels)
    np.testing.assert_array_equal(output.layers[1].pixels, matte)


def test_harmonising_changes_composites_and_leaves_the_cutout(photo: Image, matte: np.ndarray) -> None:
    behind, background = Picture((10, 200, 30)), Background(image="lawn")
    composition = composed_on(
        photo, matte, behind, outputs=("cutout", "composite"), background=background, harmonise="reinhard"
    )
    cutout, composite = (output.layers[0].pixels for output in composition.outputs)
    np.testing.assert_array_equal(cutout[matte == 255][:, :3], photo.pixels[matte == 255])
    assert composite[matte == 255].mean(0)[1] > photo.pixels[matte == 255].mean(0)[1]


def test_overlay_and_background_show_the_photo_wherever_the_subject_goes(photo: Image, matte: np.ndarray) -> None:
    composition = composed(photo, matte, outputs=("overlay", "background", "mask"), canvas="50x20", position="0%")
    shapes = [output.layers[0].pixels.shape for output in composition.outputs]
    assert shapes == [(HEIGHT, WIDTH, 3), (HEIGHT, WIDTH, 3), (20, 50)]
    overlay, background = (output.layers[0].pixels for output in composition.outputs[:2])
    np.testing.assert_array_equal(overlay[matte == 0], photo.pixels[matte == 0])
    assert overlay[matte == 255][:, 1].mean() > photo.pixels[matte == 255][:, 1].mean() + 30
    assert (background[25:35, 40:60] != photo.pixels[25:35, 40:60]).any(-1).mean() > 0.9
    assert (background[:10] == photo.pixels[:10]).all()


def test_decontamination_takes_the_old_background_out_of_soft_edges(matte: np.ndarray) -> None:
    """Red on green, with an edge that is half of either."""
    share = (matte / 255)[..., None]
    pixels = np.rint(share * (255, 0, 0) + (1 - share) * (0, 255, 0)).astype(np.uint8)
    plain, clean = (only(composed(Image(pixels), matte, decontaminate=wanted)) for wanted in (False, True))
    assert plain[30, 30, 1] > 100
    assert clean[30, 30, 1] < 30
    np.testing.assert_array_equal(clean[matte == 255], plain[matte == 255])


def test_a_background_changes_the_colours_of_the_composite_and_not_of_the_cutout(matte: np.ndarray) -> None:
    share = (matte / 255)[..., None]
    pixels = np.rint(share * (255, 0, 0) + (1 - share) * (0, 255, 0)).astype(np.uint8)
    black = Background(color="black")
    cutout, composite = (
        output.layers[0].pixels
        for output in composed(Image(pixels), matte, outputs=("cutout", "composite"), background=black).outputs
    )
    np.testing.assert_array_equal(cutout, only(composed(Image(pixels), matte)))
    kept = only(composed(Image(pixels), matte, outputs=("composite",), background=black, decontaminate=False))
    assert cutout[30, 30, 1] > 100
    assert kept[30, 30, 1] > 50
    assert composite[30, 30, 1] < 15


def test_perspective_stands_the_subject_on_its_line(photo: Image, matte: np.ndarray) -> None:
    perspective = Perspective(baseline="20 50 60 50")
    mask = only(composed(photo, matte, outputs=("mask",), perspective=perspective))
    assert mask.shape == (HEIGHT, WIDTH)
    rows, columns = np.nonzero(mask > 127)
    np.testing.assert_allclose((columns.min(), columns.max() + 1, rows.min(), rows.max() + 1), (20, 60, 30, 50), atol=1)


def test_several_outputs_share_one_reduced_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    shrunk = []
    shrink = CpuOps.shrink
    monkeypatch.setattr(CpuOps, "shrink", lambda *args: shrunk.append(args[3:]) or shrink(*args))
    matte = np.zeros((1100, 1700), np.uint8)
    matte[300:800, 300:900] = 255
    outputs = ("cutout", "mask", "composite", "overlay")
    composed(Image(np.full((1100, 1700, 3), 90, np.uint8)), matte, size="preview", outputs=outputs)
    assert len(shrunk) == 1
