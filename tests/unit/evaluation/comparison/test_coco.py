from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from evaluation.comparison.coco import annotated_images, read_instances, write_examples
from evaluation.comparison.run import plan_comparison
from evaluation.folder import InvalidExamples

SQUARE = [10, 10, 29, 10, 29, 29, 10, 29]


def instances(file: Path, *annotations: dict) -> Path:
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 60, "height": 40} for number in (7, 3, 5)]
    file.write_text(json.dumps({"images": images, "annotations": list(annotations), "info": {"year": 2017}}))
    return file


def test_an_images_subject_is_the_union_of_its_objects(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "7.jpg")
    runs = {"size": [40, 60], "counts": [40 * 50 + 5, 10, 40 * 10 - 15]}  # a strip of column 50
    file = instances(
        tmp_path / "instances.json",
        {"image_id": 7, "segmentation": [SQUARE], "category_id": 1, "iscrowd": 0},
        {"image_id": 7, "segmentation": runs, "category_id": 2, "iscrowd": 1},
    )
    data_set = read_instances(file)
    (image,) = annotated_images(data_set)
    (example,) = write_examples(tmp_path, data_set, [image], tmp_path)
    mask = np.asarray(Image.open(example.mask))
    expected = np.zeros((40, 60), np.uint8)
    expected[10:30, 10:30] = expected[5:15, 50] = 255
    assert (example.stem, example.path, mask.shape) == ("7", tmp_path / "7.jpg", (40, 60))
    assert np.array_equal(mask, expected)


def test_images_without_objects_are_left_out_and_the_rest_is_sorted(tmp_path: Path) -> None:
    objects = [{"image_id": number, "segmentation": [SQUARE]} for number in (7, 3)]
    data_set = read_instances(instances(tmp_path / "instances.json", *objects))
    assert [image.file_name for image in annotated_images(data_set)] == ["3.jpg", "7.jpg"]


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ({"size": [40, 60], "counts": "abc"}, "compressed run lengths"),
        ({"counts": [5, 5]}, "are 10 px, not 60 × 40"),
    ],
)
def test_a_mask_that_cannot_be_drawn_is_an_error(tmp_path: Path, segmentation: object, words: str) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "3.jpg")
    data_set = read_instances(instances(tmp_path / "i.json", {"image_id": 3, "segmentation": segmentation}))
    with pytest.raises(InvalidExamples, match=rf"3\.jpg.*{words}"):
        write_examples(tmp_path, data_set, annotated_images(data_set), tmp_path)


def test_a_missing_image_and_a_file_that_is_not_coco_are_errors(tmp_path: Path) -> None:
    data_set = read_instances(instances(tmp_path / "i.json", {"image_id": 3, "segmentation": [SQUARE]}))
    with pytest.raises(InvalidExamples, match=r"3\.jpg is missing"):
        write_examples(tmp_path, data_set, annotated_images(data_set), tmp_path)
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(InvalidExamples, match=r"list\.json is not a COCO instances file"):
        read_instances(tmp_path / "list.json")


def test_a_set_without_objects_is_refused(tmp_path: Path) -> None:
    file = instances(tmp_path / "i.json")
    options = {"left_out": {}, "sample_size": 2, "rounds": 1, "seed": 0, "json_file": None, "out_folder": None}
    with pytest.raises(InvalidExamples, match=r"i\.json annotates no object"):
        plan_comparison(tmp_path, file, ["fast"], tmp_path, **options, console=Console(quiet=True))
