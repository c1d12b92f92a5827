from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.folder import InvalidExamples, find_examples, find_mattes, read_example
from tests.support.evaluation import DISCS, SIDE, evaluation_folder, mask_of, matte_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return evaluation_folder(tmp_path / "set")


def test_photos_and_masks_are_paired_by_stem_and_sorted(folder: Path) -> None:
    (folder / "images" / "notes.txt").write_text("not an image")
    examples = find_examples(folder)
    assert [example.stem for example in examples] == sorted(DISCS)
    assert examples[0].path == folder / "images" / "cats_1.jpg"
    pixels, truth = read_example(examples[0])
    assert pixels.shape == (SIDE, SIDE, 3)
    assert np.array_equal(truth, mask_of("cats_1"))


@pytest.mark.parametrize("name", ["images", "masks"])
def test_a_missing_folder_is_an_error(folder: Path, name: str) -> None:
    (folder / name).rename(folder / "elsewhere")
    with pytest.raises(InvalidExamples, match=rf"has no folder {name}/.*images/<name>\.jpg and masks/<name>\.png"):
        find_examples(folder)


def test_no_pair_is_an_error_that_lists_the_expected_files(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    with pytest.raises(InvalidExamples, match=r"looked for images/<name>\.jpg .*found 1 photos and 0 masks"):
        find_examples(tmp_path)


def test_up_to_five_unpaired_files_are_listed(folder: Path) -> None:
    for number in range(7):
        (folder / "masks" / f"extra_{number}.png").write_bytes(b"")
    (folder / "masks" / "dogs_1.png").unlink()
    with pytest.raises(InvalidExamples) as caught:
        find_examples(folder)
    assert "no mask in masks/ for dogs_1;" in str(caught.value)
    assert "for extra_0, extra_1, extra_2, extra_3, extra_4 and 2 more" in str(caught.value)


def test_two_photos_of_one_name_are_refused(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "images" / "cats_1.png")
    with pytest.raises(InvalidExamples, match=r"cats_1\.jpg and .*cats_1\.png share a name"):
        find_examples(folder)


def test_different_sizes_are_an_error_that_names_them(folder: Path) -> None:
    Image.new("L", (50, 40)).save(folder / "masks" / "cats_2.png")
    with pytest.raises(InvalidExamples, match=r"cats_2\.png is 50×40, its photo .*cats_2\.jpg 96×96"):
        read_example(find_examples(folder)[1])


def test_a_mask_fits_the_photo_as_its_exif_orientation_shows_it(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned right by a quarter
    Image.new("RGB", (60, 40), "red").save(folder / "images" / "cats_1.jpg", exif=exif)
    Image.new("L", (40, 60)).save(folder / "masks" / "cats_1.png")
    pixels, truth = read_example(find_examples(folder)[0])
    assert (pixels.shape, truth.shape) == ((60, 40, 3), (60, 40))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("images/cats_1.jpg", b"", r"the photo .*cats_1\.jpg cannot be read: .* an empty file"),
        ("images/cats_1.jpg", b"text, not an image", r"the photo .*cats_1\.jpg cannot be read: not an image"),
        ("masks/cats_1.png", b"", r"the mask .*cats_1\.png cannot be read"),
        ("masks/cats_1.png", b"\x89PNG\r\n\x1a\nbroken", r"the mask .*cats_1\.png cannot be read"),
    ],
)
def test_unreadable_files_are_errors(folder: Path, name: str, data: bytes, message: str) -> None:
    (folder / name).write_bytes(data)
    with pytest.raises(InvalidExamples, match=message):
        read_example(find_examples(folder)[0])


@pytest.mark.parametrize("name", ["images/cats_1.jpg", "masks/cats_1.png"])
def test_truncated_files_are_errors(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InvalidExamples, match=r"cats_1\.(jpg|png) cannot be read"):
        read_example(find_examples(folder)[0])


def test_a_mask_of_16_bits_is_refused(folder: Path) -> None:
    Image.fromarray(np.full((SIDE, SIDE), 65535, np.uint16)).save(folder / "masks" / "cats_1.png")
    with pytest.raises(InvalidExamples, match=r"more than 8 bits a pixel: save it as 8-bit grey"):
        read_example(find_examples(folder)[0])


def test_mattes_are_found_in_any_accepted_format(folder: Path, tmp_path: Path) -> None:
    mattes = matte_folder(tmp_path / "mattes")
    Image.open(mattes / "cats_2.png").save(mattes / "cats_2.webp")
    (mattes / "cats_2.png").unlink()
    found = find_mattes(mattes, find_examples(folder))
    assert {stem: path.suffix for stem, path in found.items()} == {
        "cats_1": ".png",
        "cats_2": ".webp",
        "dogs_1": ".png",
    }


def test_a_missing_matte_is_an_error(folder: Path, tmp_path: Path) -> None:
    mattes = matte_folder(tmp_path / "mattes")
    (mattes / "cats_2.png").unlink()
    with pytest.raises(InvalidExamples, match=r"has no matte for cats_2: each photo needs <name>\.png"):
        find_mattes(mattes, find_examples(folder))
    with pytest.raises(InvalidExamples, match="is not a folder"):
        find_mattes(tmp_path / "nowhere", find_examples(folder))
