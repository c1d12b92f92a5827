"""A COCO-style set as an evaluation folder: each picture's subject is the union of its annotated objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from evaluation.scoring.folder import Example, InvalidExamples


class _Picture(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int


class _Runs(msgspec.Struct):
    """Run lengths down the columns, background first."""

    counts: list[int] | str


class _Annotation(msgspec.Struct):
    image_id: int
    segmentation: list[list[float]] | _Runs


class Instances(msgspec.Struct):
    """What of `instances_*.json` says where the objects are; the format is at https://cocodataset.org/#format-data."""

    images: list[_Picture]
    annotations: list[_Annotation]


def read_instances(file: Path) -> Instances:
    """Raises InvalidExamples for what is no such file."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Instances)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidExamples(f"{file} is no COCO instances file: {exc}") from exc


def annotated(instances: Instances) -> list[_Picture]:
    """The pictures that show an object, in the order of their names."""
    known = {annotation.image_id for annotation in instances.annotations}
    return sorted((picture for picture in instances.images if picture.id in known), key=lambda one: one.file_name)


def as_examples(folder: Path, instances: Instances, pictures: Sequence[_Picture], masks: Path) -> list[Example]:
    """`folder` holds the pictures; their masks are drawn into `masks`. Raises InvalidExamples for what is missing."""
    by_picture: dict[int, list[_Annotation]] = {}
    for annotation in instances.annotations:
        by_picture.setdefault(annotation.image_id, []).append(annotation)
    return [_example(folder / picture.file_name, picture, by_picture[picture.id], masks) for picture in pictures]


def _example(photo: Path, picture: _Picture, annotations: Sequence[_Annotation], masks: Path) -> Example:
    if not photo.is_file():
        raise InvalidExamples(f"{photo} is missing: the instances file names it")
    mask = np.zeros((picture.height, picture.width), bool)
    for annotation in annotations:
        mask |= _drawn(annotation.segmentation, picture)
    file = masks / f"{photo.stem}.png"
    Pillow.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(file)
    return Example(photo.stem, photo, file)


def _drawn(segmentation: list[list[float]] | _Runs, picture: _Picture) -> NDArray[Any]:
    if isinstance(segmentation, _Runs):
        return _decoded(segmentation.counts, picture)
    sheet = Pillow.new("1", (picture.width, picture.height))
    draw = ImageDraw.Draw(sheet)
    for polygon in segmentation:
        if len(polygon) < 6 or len(polygon) % 2:
            raise InvalidExamples(
                f"{picture.file_name}: a polygon of {len(polygon)} numbers; it is x and y of three or more corners"
            )
        draw.polygon(list(zip(polygon[::2], polygon[1::2], strict=True)), fill=1)
    return np.asarray(sheet)


def _decoded(counts: list[int] | str, picture: _Picture) -> NDArray[Any]:
    if isinstance(counts, str):
        raise InvalidExamples(
            f"{picture.file_name} has compressed run lengths, which published instances files do not have: write them "
            "as polygons or as lists of counts"
        )
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    if pixels.size != picture.width * picture.height:
        raise InvalidExamples(
            f"{picture.file_name}: its run lengths are {pixels.size} px, not {picture.width} × {picture.height}"
        )
    return pixels.reshape(picture.width, picture.height).T
