from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from evaluation.comparison.coco import annotated, as_examples, read_instances
from evaluation.comparison.run import plan
from evaluation.scoring.folder import InvalidExamples

SQUARE = [10, 10, 29, 10, 29, 29, 10, 29]


def instances(file: Path, *annotations: dict) -> Path:
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 60, "height": 40} for number in (7, 3, 5)]
    file.write_text(json.dumps({"images": images, "annotations": list(annotations), "info": {"year": 2017}}))
    return file


def test_a_pictures_subject_is_the_union_of_its_objects(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "7.jpg")
    runs = {"size": [40, 60], "counts": [40 * 50 + 5, 10, 40 * 10 - 15]}  # a strip of column 50
    file = instances(
        tmp_path / "instances.json",
        {"image_id": 7, "segmentation": [SQUARE], "category_id": 1, "iscrowd": 0},
        {"image_id": 7, "segmentation": runs, "category_id": 2, "iscrowd": 1},
    )
    known = read_instances(file)
    (picture,) = annotated(known)
    (example,) = as_examples(tmp_path, known, [picture], tmp_path)
    mask = np.asarray(Image.open(example.mask))
    expected = np.zeros((40, 60), np.uint8)
    expected[10:30, 10:30] = expected[5:15, 50] = 255
    assert (example.stem, example.photo, mask.shape) == ("7", tmp_path / "7.jpg", (40, 60))
    assert np.array_equal(mask, expected)


def test_pictures_without_objects_are_left_out_and_the_rest_is_in_order(tmp_path: Path) -> None:
    objects = [{"image_id": number, "segmentation": [SQUARE]} for number in (7, 3)]
    known = read_instances(instances(tmp_path / "instances.json", *objects))
    assert [picture.file_name for picture in annotated(known)] == ["3.jpg", "7.jpg"]


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ({"size": [40, 60], "counts": "abc"}, "compressed run lengths"),
        ({"counts": [5, 5]}, "are 10 px, not 60 × 40"),
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path: Path, segmentation: object, words: str) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "3.jpg")
    known = read_instances(instances(tmp_path / "i.json", {"image_id": 3, "segmentation": segmentation}))
    with pytest.raises(InvalidExamples, match=rf"3\.jpg.*{words}"):
        as_examples(tmp_path, known, annotated(known), tmp_path)


def test_a_missing_picture_and_another_file_are_named(tmp_path: Path) -> None:
    known = read_instances(instances(tmp_path / "i.json", {"image_id": 3, "segmentation": [SQUARE]}))
    with pytest.raises(InvalidExamples, match=r"3\.jpg is missing"):
        as_examples(tmp_path, known, annotated(known), tmp_path)
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(InvalidExamples, match=r"list\.json is no COCO instances file"):
        read_instances(tmp_path / "list.json")


def test_a_set_without_objects_is_refused(tmp_path: Path) -> None:
    file = instances(tmp_path / "i.json")
    options = {"left_out": {}, "size": 2, "rounds": 1, "seed": 0, "json_file": None, "out_folder": None}
    with pytest.raises(InvalidExamples, match=r"i\.json annotates no object"):
        plan(tmp_path, file, ["fast"], tmp_path, **options, console=Console(quiet=True))
