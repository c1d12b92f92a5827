from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from export.train.photos import AGREE, HELD_OUT, TrainingData, collect
from export.train.recipe import Source
from tests.support.training import SIDE, photo_folder

NAMES = [f"disc_{number:02}" for number in range(40)]
DISCS = Source(name="discs", folder="discs", share=1.0)


def test_every_thirty_second_photo_is_held_out(tmp_path: Path) -> None:
    photo_folder(tmp_path / "discs", NAMES)
    (collection,) = collect(tmp_path, [DISCS])
    assert [photo.stem for photo in collection.held_out] == [NAMES[0], NAMES[HELD_OUT]]
    assert len(collection.photos) == len(NAMES) - 2


def test_a_photo_carries_its_subjects_box(tmp_path: Path) -> None:
    photo_folder(tmp_path / "discs", NAMES[:2])
    (photo,) = collect(tmp_path, [DISCS])[0].photos
    rows, columns = np.nonzero(photo.matte >= 128)
    assert photo.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    assert photo.pixels.shape == (SIDE, SIDE, 3)


def test_a_subset_is_the_beginning_of_the_names(tmp_path: Path) -> None:
    photo_folder(tmp_path / "discs", ["cat_1", "cat_2", "dog_1"])
    (collection,) = collect(tmp_path, [Source(name="discs", folder="discs", subsets=("cat",), share=1.0)])
    assert {photo.stem for photo in (*collection.photos, *collection.held_out)} == {"cat_1", "cat_2"}


def test_mask_and_teacher_are_mixed_where_they_agree_and_the_mask_rules_where_not(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "discs", ["a", "b"], teacher=True)
    grey = np.array(Image.open(folder / "masks" / "b.png"))
    for name, level in (("a", 250), ("b", 60)):
        mask = np.array(Image.open(folder / "masks" / f"{name}.png"))
        Image.fromarray(np.where(mask > 0, level, 0).astype(np.uint8)).save(
            folder / "teacher" / f"{name}.webp", lossless=True
        )
    (collection,) = collect(tmp_path, [DISCS])
    mattes = {photo.stem: photo.matte for photo in (*collection.photos, *collection.held_out)}
    assert AGREE < 1
    assert mattes["a"].max() == (255 + 250 + 1) // 2
    assert np.array_equal(mattes["b"], grey)


def test_photos_without_a_subject_are_left_out(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "discs", ["clear", "clear_too", "empty"])
    Image.new("L", (SIDE, SIDE), 0).save(folder / "masks" / "empty.png")
    (collection,) = collect(tmp_path, [DISCS])
    assert [photo.stem for photo in (*collection.held_out, *collection.photos)] == ["clear", "clear_too"]


@pytest.mark.parametrize(("radius", "kept"), [(0.1, True), (0.4, False)])
def test_unsure_mattes_are_left_out_if_they_fill_the_photo(tmp_path: Path, radius: float, kept: bool) -> None:
    folder = photo_folder(tmp_path / "discs", ["clear", "clear_too", "unsure"])
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    grey = np.where(np.hypot(rows, columns) < radius * SIDE, 140, 0).astype(np.uint8)
    Image.fromarray(grey).save(folder / "masks" / "unsure.png")
    (collection,) = collect(tmp_path, [DISCS])
    assert ("unsure" in {photo.stem for photo in collection.photos}) is kept


def test_masks_that_show_something_else_are_not_learnt(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "discs", ["disc"], teacher=True)
    Image.new("L", (SIDE, SIDE), 255).save(folder / "masks" / "disc.png")
    (with_masks,), (without,) = (
        collect(tmp_path, [msgspec.structs.replace(DISCS, masks=masks)]) for masks in (True, False)
    )
    assert with_masks.held_out[0].matte.min() == 255
    assert 0.02 < (without.held_out[0].matte == 255).mean() < 0.3


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingData, match=r"discs: has no folder `images`"):
        collect(tmp_path, [DISCS])


def test_a_photo_without_a_matte_is_named_with_what_makes_one(tmp_path: Path) -> None:
    photo_folder(tmp_path / "discs", ["a"], masks=False)
    with pytest.raises(TrainingData, match=r"a\.png: has neither masks/a\.png nor .*export\.train\.teacher"):
        collect(tmp_path, [DISCS])


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "discs", ["a"])
    Image.new("L", (SIDE, SIDE // 2), 255).save(folder / "masks" / "a.png")
    with pytest.raises(TrainingData, match=r"masks/a\.png: is 64×32, its photo 64×64"):
        collect(tmp_path, [DISCS])


@pytest.mark.parametrize("part", ["images", "masks"])
def test_an_unreadable_file_is_named(tmp_path: Path, part: str) -> None:
    folder = photo_folder(tmp_path / "discs", ["a"])
    (folder / part / "a.png").write_bytes(b"no picture")
    with pytest.raises(TrainingData, match=rf"{part}/a\.png: cannot be read as an image"):
        collect(tmp_path, [DISCS])


def test_a_source_that_shows_nothing_is_an_error(tmp_path: Path) -> None:
    photo_folder(tmp_path / "discs", ["a"])
    with pytest.raises(TrainingData, match="no photo of source 'discs' shows a subject"):
        collect(tmp_path, [Source(name="discs", folder="discs", subsets=("cat",), share=1.0)])
