from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.folder import Example, InvalidExamples
from evaluation.tuning.photos import find_photos, have_masks, read_photo_and_mask
from tests.support.evaluation import DISCS, evaluation_folder, mask_of


def test_photos_with_masks_are_examples(tmp_path: Path) -> None:
    found = find_photos(evaluation_folder(tmp_path / "set"))
    assert have_masks(found)
    assert [photo.stem for photo in found] == sorted(DISCS)
    assert all(isinstance(photo, Example) for photo in found)
    pixels, truth = read_photo_and_mask(found[0])
    assert pixels.shape == (96, 96, 3)
    assert (truth == mask_of(found[0].stem)).all()


@pytest.mark.parametrize("inner", ["", "images"])
def test_without_masks_photos_are_in_images_or_in_the_folder_itself(tmp_path: Path, inner: str) -> None:
    made = evaluation_folder(tmp_path / "set")
    place = tmp_path / "plain" / inner
    place.parent.mkdir(parents=True, exist_ok=True)
    (made / "images").rename(place)
    (place / "notes.txt").write_text("no image")
    found = find_photos(tmp_path / "plain")
    assert [photo.stem for photo in found] == sorted(DISCS)
    assert not have_masks(found)
    assert read_photo_and_mask(found[0])[1] is None


def test_a_mask_without_a_photo_is_an_error(tmp_path: Path) -> None:
    made = evaluation_folder(tmp_path / "set")
    (made / "images" / "cats_1.jpg").unlink()
    with pytest.raises(InvalidExamples, match="no photo in images/ for cats_1"):
        find_photos(made)


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_a_folder_without_photos_is_an_error_that_lists_the_expected_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidExamples, match=rf"{name} holds no photos: looked for images/<name>\.jpg"):
        find_photos(tmp_path / name)
