"""Training photos with their mattes, decoded once and kept in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cutstream.errors import CutstreamError
from cutstream.quality.overlap import iou
from export.train.recipe import Source

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
# IoU from which a mask and the teacher's matte show the same subject. The teacher's matte then has the better edges.
AGREE = 0.85
# Photos with a larger share of grey in their matte are left out: the teacher has missed what fills them, mostly a head
# seen from close by. Small unsure subjects stay, because few others are set in grass and crowds.
MAX_GREY_SHARE = 0.15
HELD_OUT = 32


class TrainingData(CutstreamError):
    """A folder, photo or matte cannot be used for training. The message names it and says what is expected."""

    code = "training_data"


@dataclass(frozen=True)
class Photo:
    """A photo, u8 H×W×3 RGB, with its matte, u8 H×W. `box` is the subject's top, left, bottom, right in px."""

    stem: str
    pixels: NDArray[np.uint8]
    matte: NDArray[np.uint8]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Collection:
    """The photos of a source. Every 32nd by name is held out for the curves; the others are for training."""

    source: Source
    photos: Sequence[Photo]
    held_out: Sequence[Photo]


def collect(root: Path, sources: Sequence[Source]) -> list[Collection]:
    """Load all sources. Raise TrainingData for a source without usable photos and for the first unusable file."""
    return [_collect(root, source) for source in sources]


def _collect(root: Path, source: Source) -> Collection:
    files = list(_files(root / source.folder, source.subsets))
    with ThreadPoolExecutor() as pool:
        photos = [photo for photo in pool.map(partial(_load, masks=source.masks), files) if photo is not None]
    if not photos:
        raise TrainingData(f"{root / source.folder}: no photo of source {source.name!r} shows a subject")
    held_out = [photo for number, photo in enumerate(photos) if number % HELD_OUT == 0]
    return Collection(source, [photo for number, photo in enumerate(photos) if number % HELD_OUT], held_out)


def _files(folder: Path, subsets: tuple[str, ...]) -> Iterator[Path]:
    images = folder / "images"
    if not images.is_dir():
        raise TrainingData(f"{folder}: has no folder `images`; photos go there, masks of the same name to `masks`")
    for file in sorted(images.iterdir()):
        if file.suffix.lower() in IMAGES and file.stem.startswith(subsets):
            yield file


def _load(file: Path, *, masks: bool) -> Photo | None:
    """Load a photo. Return None if its matte has no subject or is grey over too large a share."""
    with open_image(file) as image:
        pixels = np.asarray(image.convert("RGB"))
    matte = _matte(file, pixels.shape[:2], masks)
    rows, columns = (np.flatnonzero((matte >= 128).any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0 or _grey_share(matte) > MAX_GREY_SHARE:
        return None
    return Photo(file.stem, pixels, matte, (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1))


def _matte(photo: Path, shape: tuple[int, ...], masks: bool) -> NDArray[np.uint8]:
    folder = photo.parent.parent
    mask = _grey(folder / "masks" / f"{photo.stem}.png", shape) if masks else None
    teacher = _grey(folder / "teacher" / f"{photo.stem}.webp", shape)
    if mask is None and teacher is None:
        raise TrainingData(
            f"{photo}: has neither masks/{photo.stem}.png nor teacher/{photo.stem}.webp; "
            "make the latter with `python -m export.train.teacher`"
        )
    if mask is None or teacher is None:
        return teacher if mask is None else mask  # type: ignore[return-value]
    if iou(mask, teacher) < AGREE:
        return mask
    return ((mask.astype(np.uint16) + teacher + 1) // 2).astype(np.uint8)


def _grey_share(matte: NDArray[np.uint8]) -> float:
    """Return 0 for a matte of black and white, 1 for one that is half transparent everywhere."""
    alpha = matte.astype(np.float32) / 255
    return float((4 * alpha * (1 - alpha)).mean())


def _grey(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    if not file.is_file():
        return None
    with open_image(file) as image:
        values = np.asarray(image.convert("L"))
    if values.shape != shape:
        raise TrainingData(
            f"{file}: is {values.shape[1]}×{values.shape[0]}, its photo {shape[1]}×{shape[0]}; the sizes must be equal"
        )
    return values


def open_image(file: Path) -> Image.Image:
    try:
        image = Image.open(file)
        image.load()
        return image
    except (OSError, UnidentifiedImageError) as exc:
        raise TrainingData(f"{file}: cannot be read as an image ({exc}); remove or replace it") from exc
