from __future__ import annotations

import numpy as np
import pytest

from export.train.augment import resize_whole, sample
from export.train.photos import Collection, Photo, collect
from export.train.recipe import Source
from tests.support.training import photo_folder

SIZE = 96
PLAIN = {"composites": 0.0, "panoramas": 0.0}
MIXED = {"composites": 0.3, "panoramas": 0.3}
COMPOSITES = {"composites": 1.0, "panoramas": 0.0}
PANORAMAS = {"composites": 0.0, "panoramas": 1.0}


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> list[Collection]:
    folder = tmp_path_factory.mktemp("photos")
    photo_folder(folder / "discs", [f"disc_{number:02}" for number in range(40)])
    return collect(folder, [Source(name="discs", folder="discs", share=1.0, closer=0.3)])


@pytest.mark.parametrize("mix", [PLAIN, MIXED, COMPOSITES, PANORAMAS])
def test_a_sample_has_its_shape_and_a_subject(discs: list[Collection], mix: dict[str, float]) -> None:
    for seed in range(40):
        pixels, matte = sample(discs, np.random.default_rng(seed), SIZE, **mix)
        assert (pixels.shape, pixels.dtype) == ((SIZE, SIZE, 3), np.uint8)
        assert (matte.shape, matte.dtype) == ((SIZE, SIZE), np.uint8)
        assert matte.any()


@pytest.mark.parametrize("mix", [PLAIN, COMPOSITES, PANORAMAS])
def test_the_matte_goes_where_the_subject_goes(discs: list[Collection], mix: dict[str, float]) -> None:
    """The discs are far brighter than their background in any light, so the matte must cover the bright pixels."""
    for seed in range(60):
        pixels, matte = sample(discs, np.random.default_rng(seed), SIZE, **mix)
        inside, outside = pixels[matte > 230], pixels[matte < 20]
        if len(inside) > 50 and len(outside) > 50:
            assert inside.mean() > outside.mean() + 20, seed


def test_the_same_seed_gives_the_same_sample(discs: list[Collection]) -> None:
    one, other = (sample(discs, np.random.default_rng([3, 7]), SIZE, **MIXED) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])
    assert not np.array_equal(one[0], sample(discs, np.random.default_rng([3, 8]), SIZE, **MIXED)[0])


@pytest.mark.parametrize("mix", [COMPOSITES, PANORAMAS])
def test_living_subjects_are_placed_among_things_that_are_then_background(
    discs: list[Collection], mix: dict[str, float]
) -> None:
    """Discs are living, squares are things. Squares are as bright, but the matte must not cover them."""
    squares = [square(number) for number in range(8)]
    things = Collection(Source(name="squares", folder="squares", share=0.3), squares, [])
    living = Collection(Source(name="discs", folder="discs", share=1.0, living=True), discs[0].photos, [])
    without_matte = []
    for seed in range(40):
        pixels, matte = sample([living, things], np.random.default_rng(seed), SIZE, **mix)
        assert matte.any()
        blue = pixels[..., 2].astype(int) - pixels[..., 0] > 60
        without_matte.append(blue.mean() > 0.05 and matte[blue].mean() < 60)
    assert sum(without_matte) > 10


def square(number: int) -> Photo:
    pixels = np.full((64, 64, 3), 60, np.uint8)
    matte = np.zeros((64, 64), np.uint8)
    place = np.s_[8 : 40 + number, 10:50]
    pixels[place], matte[place] = (40, 80, 240), 255
    return Photo(f"square_{number}", pixels, matte, (8, 10, 40 + number, 50))


def test_a_whole_photo_is_only_resized(discs: list[Collection]) -> None:
    photo = discs[0].held_out[0]
    pixels, matte = resize_whole(photo, 32)
    assert pixels.shape == (32, 32, 3)
    expected = photo.matte.reshape(32, 2, 32, 2).mean((1, 3))
    assert np.abs(matte - expected).max() <= 1


def test_an_empty_sample_has_no_subject(discs: list[Collection]) -> None:
    scenes = [
        sample(discs, np.random.default_rng(seed), SIZE, composites=0.0, panoramas=0.0, empty=1.0) for seed in range(24)
    ]
    assert not any(matte.any() for _, matte in scenes)
    assert len({pixels.tobytes() for pixels, _ in scenes}) == len(scenes)
