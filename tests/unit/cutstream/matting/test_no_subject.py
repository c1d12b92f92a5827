"""No picture of nothing has a subject for cutnet, and every photo has one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutstream.images import Image as Photo
from cutstream.images import Pixels
from cutstream.matting.no_subject import has_edge, has_subject, is_pattern, sure_share
from cutstream.matting.refine import prepare
from cutstream.settings import ModelSettings
from export.weights.catalogue import find_model
from tests.support.networks import OPS, matte_of
from tests.support.pictures.nothing import DATA, NOTHING

CUTNET = find_model("cutnet", ModelSettings()).min_sure_share
PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
# Kinds that need no word of the network, and two of these kinds that do.
BY_THE_PICTURE = ("white", "red", "gradient", "noise ", "grey noise 3", "sensor", "upright", "level", "chess", "sine")
DOUBTFUL = ("noise 16x16", "noise 4000x3000")
# Not in here: the wall of bricks. Of its JPEG at quality 85 cutnet is sure of 3.6 %, of its pixels as they are 1.6 %.
AS_JPEG = ("white", "black", "skin", "gradient sky", "gradient studio", "noise 64x64", "noise 640x480")
AS_JPEG += ("sensor noise 20 at 128", "salt", "slanted 16", "chessboard 16", "sine", "horizon", "grass.png")
AS_JPEG += ("gravel.png", "brick.png", "page.png", "moon.png", "night sky", "wooden table", "handwriting")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    return ModelSettings(store=tmp_path_factory.mktemp("store"))


def found(pixels: Pixels, models: ModelSettings, min_sure_share: float | None = CUTNET, region: bool = False) -> bool:
    seen = prepare(Photo(np.ascontiguousarray(pixels)), 320, 320, OPS)
    return has_subject(seen, matte_of("cutnet", pixels, models), min_sure_share, region)


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def photo(name: str) -> Pixels:
    with Image.open(Path(DATA) / name) as opened:
        return np.asarray(opened.convert("RGB"))


def test_there_are_enough_pictures() -> None:
    assert len(NOTHING) >= 100


@pytest.mark.parametrize("name", NOTHING)
def test_a_picture_of_nothing_has_no_subject(name: str, models: ModelSettings) -> None:
    assert not found(NOTHING[name](), models)


@pytest.mark.parametrize("name", AS_JPEG)
def test_nor_has_its_jpeg(name: str, models: ModelSettings) -> None:
    assert not found(as_jpeg(NOTHING[name](), 85), models)


@pytest.mark.parametrize("name", [name for name in NOTHING if name.startswith(BY_THE_PICTURE) and name not in DOUBTFUL])
def test_the_picture_alone_tells_for_networks_that_state_nothing(name: str) -> None:
    seen, everything = prepare(Photo(NOTHING[name]()), 320, 320, OPS), np.full((320, 320), 255, np.uint8)
    assert not has_subject(seen, everything, None, False)


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_has_a_subject(name: str, models: ModelSettings) -> None:
    pixels = photo(name)
    dark, grey = (pixels / 5).astype(np.uint8), pixels.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    rough = np.clip(pixels + np.random.default_rng(0).normal(0, 20, pixels.shape), 0, 255).astype(np.uint8)
    for kind, variant in {"as it is": pixels, "dark": dark, "grey": grey, "noisy": rough}.items():
        assert found(variant, models), kind


def test_a_print_is_no_noise_if_its_surroundings_have_another_colour() -> None:
    """A dress with a fine print is as unrelated as noise in brightness, and was taken for it."""
    random = np.random.default_rng(0)
    print_, carpet = (rgb_noise(random, base) for base in ((120, 120, 125), (150, 140, 40)))
    pixels = carpet.copy()
    pixels[80:240, 90:230] = print_[80:240, 90:230]
    assert not is_pattern(pixels)
    assert is_pattern(carpet)


def rgb_noise(random: np.random.Generator, base: tuple[int, int, int]) -> Pixels:
    return np.clip(np.array(base) + random.normal(0, 60, (320, 320, 1)), 0, 255).astype(np.uint8)


def test_a_region_says_that_there_is_something_unless_nothing_has_an_edge(models: ModelSettings) -> None:
    assert found(NOTHING["brick.png"](), models, region=True)
    assert not found(NOTHING["white"](), models, region=True)


def test_the_smallest_subject_has_an_edge() -> None:
    pixels = np.full((320, 320, 3), 200, np.uint8)
    assert not has_edge(pixels)
    pixels[3, 300, 1] = 190
    assert has_edge(pixels)


def test_the_share_that_a_network_is_sure_of() -> None:
    matte = np.full((20, 20), 50, np.uint8)
    assert sure_share(matte) == 0
    matte[:2], matte[0, :5] = 240, 255
    assert sure_share(matte) == pytest.approx(5 / 40)


def test_large_inputs_are_judged_like_small_ones() -> None:
    matte = np.full((1024, 1024), 255, np.uint8)
    for name in ("noise 1500x1000", "sine", "gradient studio", "chessboard 50"):
        pixels = OPS.resize_area(NOTHING[name](), 1024, 1024)
        assert not has_subject(pixels, matte, None, False), name
    for name in PHOTOS:
        assert has_subject(OPS.resize_area(photo(name), 1024, 1024), matte, None, False), name
