"""Training photos with their mattes, decoded once and held in memory."""

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
# A hard mask and the teacher's matte that agree this well show the same thing, and the soft one has the better edges.
AGREE = 0.85
# Photos of which more than this share is grey in their matte are left out: the teacher has not found what fills them, a
# head seen from near mostly. Small subjects that it is as unsure of stay; there are few others among grass and crowds.
UNSURE = 0.15
HELD_OUT = 32


class TrainingData(CutstreamError):
    """A folder, photo or matte is not fit for training. The message names it and says what is expected."""

    code = "training_data"


@dataclass(frozen=True)
class Photo:
    """`pixels` u8 H×W×3 RGB and `matte` u8 H×W; `box` is the subject's top, left, bottom, right in px."""

    stem: str
    pixels: NDArray[np.uint8]
    matte: NDArray[np.uint8]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Collection:
    """What a source gives: photos to learn from, and every 32nd by name, held out for the curves."""

    source: Source
    photos: Sequence[Photo]
    held_out: Sequence[Photo]


def collect(root: Path, sources: Sequence[Source]) -> list[Collection]:
    """Raises TrainingData for a source without usable photos and for the first file that is not what it should be."""
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
    """None where neither mask nor teacher finds a subject, or most of the photo is one that they are unsure of."""
    with opened(file) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    matte = _matte(file, pixels.shape[:2], masks)
    rows, columns = (np.flatnonzero((matte >= 128).any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0 or _grey_share(matte) > UNSURE:
        return None
    return Photo(file.stem, pixels, matte, (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1))


def _matte(photo: Path, shape: tuple[int, ...], masks: bool) -> NDArray[np.uint8]:
    folder = photo.parent.parent
    mask = _grey(folder / "masks" / f"{photo.stem}.png", shape) if masks else None
    teacher = _grey(folder / "teacher" / f"{photo.stem}.webp", shape)
    if mask is None and teacher is None:
        raise TrainingData(
            f"{photo}: has neither masks/{photo.stem}.png nor teacher/{photo.stem}.webp; "
            "`python -m export.train.teacher` makes the latter"
        )
    if mask is None or teacher is None:
        return teacher if mask is None else mask  # type: ignore[return-value]
    if iou(mask, teacher) < AGREE:
        return mask
    return ((mask.astype(np.uint16) + teacher + 1) // 2).astype(np.uint8)


def _grey_share(matte: NDArray[np.uint8]) -> float:
    """0: black and white; 1: half transparent all over."""
    alpha = matte.astype(np.float32) / 255
    return float((4 * alpha * (1 - alpha)).mean())


def _grey(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    if not file.is_file():
        return None
    with opened(file) as picture:
        values = np.asarray(picture.convert("L"))
    if values.shape != shape:
        raise TrainingData(
            f"{file}: is {values.shape[1]}×{values.shape[0]}, its photo {shape[1]}×{shape[0]}; sizes must be equal"
        )
    return values


def opened(file: Path) -> Image.Image:
    try:
        picture = Image.open(file)
        picture.load()
        return picture
    except (OSError, UnidentifiedImageError) as exc:
        raise TrainingData(f"{file}: cannot be read as a picture ({exc}); remove or replace it") from exc
