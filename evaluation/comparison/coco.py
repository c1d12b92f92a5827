"""Read a COCO data set as examples: the subject of an image is the union of its annotated objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from evaluation.folder import Example, InvalidExamples


class _CocoImage(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int


class _Runs(msgspec.Struct):
    """Run lengths in column order; the first run is background."""

    counts: list[int] | str


class _Annotation(msgspec.Struct):
    image_id: int
    segmentation: list[list[float]] | _Runs


class Instances(msgspec.Struct):
    """The part of `instances_*.json` that says where objects are (https://cocodataset.org/#format-data)."""

    images: list[_CocoImage]
    annotations: list[_Annotation]


def read_instances(file: Path) -> Instances:
    """Read an instances file. Raises InvalidExamples if it is not one."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Instances)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidExamples(f"{file} is not a COCO instances file: {exc}") from exc


def annotated_images(instances: Instances) -> list[_CocoImage]:
    """Return the images that have at least one annotated object, sorted by file name."""
    ids = {annotation.image_id for annotation in instances.annotations}
    return sorted((image for image in instances.images if image.id in ids), key=lambda image: image.file_name)


def write_examples(folder: Path, instances: Instances, images: Sequence[_CocoImage], masks: Path) -> list[Example]:
    """Write the masks of the images into the folder `masks` and return the examples.

    `folder` holds the image files. Raises InvalidExamples if one is missing.
    """
    by_image: dict[int, list[_Annotation]] = {}
    for annotation in instances.annotations:
        by_image.setdefault(annotation.image_id, []).append(annotation)
    return [_write_example(folder / image.file_name, image, by_image[image.id], masks) for image in images]


def _write_example(photo: Path, image: _CocoImage, annotations: Sequence[_Annotation], masks: Path) -> Example:
    if not photo.is_file():
        raise InvalidExamples(f"{photo} is missing: the instances file names it")
    subject = np.zeros((image.height, image.width), bool)
    for annotation in annotations:
        subject |= _draw_mask(annotation.segmentation, image)
    mask = masks / f"{photo.stem}.png"
    Pillow.fromarray(np.where(subject, 255, 0).astype(np.uint8)).save(mask)
    return Example(photo.stem, photo, mask)


def _draw_mask(segmentation: list[list[float]] | _Runs, image: _CocoImage) -> NDArray[Any]:
    if isinstance(segmentation, _Runs):
        return _decode_runs(segmentation.counts, image)
    mask = Pillow.new("1", (image.width, image.height))
    draw = ImageDraw.Draw(mask)
    for polygon in segmentation:
        if len(polygon) < 6 or len(polygon) % 2:
            raise InvalidExamples(
                f"{image.file_name}: a polygon has {len(polygon)} numbers; it needs x and y of three or more corners"
            )
        draw.polygon(list(zip(polygon[::2], polygon[1::2], strict=True)), fill=1)
    return np.asarray(mask)


def _decode_runs(counts: list[int] | str, image: _CocoImage) -> NDArray[Any]:
    if isinstance(counts, str):
        raise InvalidExamples(
            f"{image.file_name} has compressed run lengths, which published instances files do not have: write them as "
            "polygons or lists of counts"
        )
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    if pixels.size != image.width * image.height:
        raise InvalidExamples(
            f"{image.file_name}: its run lengths are {pixels.size} px, not {image.width} × {image.height}"
        )
    return pixels.reshape(image.width, image.height).T
