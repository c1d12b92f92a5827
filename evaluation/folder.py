"""Read an evaluation folder: photos in `images/` and true masks in `masks/`, paired by file name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from cutstream.errors import CutstreamError
from cutstream.images import Matte, Pixels
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from producer.submitting import IMAGE_SUFFIXES

MASK_SUFFIXES = frozenset({".png"})
MATTE_SUFFIXES = frozenset({".png", ".webp", ".jpg", ".jpeg"})
_MAX_LISTED = 5  # file names in an error message
_ANY_SIZE = 1 << 40


class InvalidExamples(CutstreamError):
    """The photos, masks, mattes or attributes to evaluate with cannot be used as they are.

    Correct what the message names; docs/evaluation.md describes the folder.
    """

    code = "invalid_examples"


@dataclass(frozen=True)
class Photo:
    """A photo's file, and its name without extension."""

    stem: str
    path: Path


@dataclass(frozen=True)
class Example(Photo):
    """A photo and the file of its true mask."""

    mask: Path


def find_examples(folder: Path) -> list[Example]:
    """Return all photos with their masks, sorted by name.

    Raises InvalidExamples unless every photo has a mask and every mask a photo.
    """
    photos, masks = _subfolder(folder, "images", IMAGE_SUFFIXES), _subfolder(folder, "masks", MASK_SUFFIXES)
    if not photos.keys() & masks.keys():
        raise InvalidExamples(
            f"{folder} holds no photo with a mask: looked for images/<name>.jpg (or {_list(IMAGE_SUFFIXES)}) and "
            f"masks/<name>.png, found {len(photos)} photos and {len(masks)} masks"
        )
    problems = [
        f"{problem} {first_few(stems)}"
        for problem, stems in (
            ("no mask in masks/ for", photos.keys() - masks.keys()),
            ("no photo in images/ for", masks.keys() - photos.keys()),
        )
        if stems
    ]
    if problems:
        raise InvalidExamples(f"{folder}: {'; '.join(problems)}. Add the missing files or remove the others")
    return [Example(stem, photos[stem], masks[stem]) for stem in sorted(photos)]


def find_mattes(folder: Path, examples: Iterable[Example]) -> dict[str, Path]:
    """Return the matte `<stem>.png` (or .webp, .jpg) of every example. Raises InvalidExamples if one is missing."""
    if not folder.is_dir():
        raise InvalidExamples(f"{folder} is not a folder: --predictions needs one with <name>.png for each photo")
    files = files_by_stem(folder, MATTE_SUFFIXES)
    stems = [example.stem for example in examples]
    if missing := {stem for stem in stems if stem not in files}:
        raise InvalidExamples(
            f"{folder} has no matte for {first_few(missing)}: each photo needs <name>.png (or {_list(MATTE_SUFFIXES)})"
        )
    return {stem: files[stem] for stem in stems}


def read_example(example: Example) -> tuple[Pixels, Matte]:
    """Return the upright photo, u8 H×W×3, and its mask, u8 H×W.

    Raises InvalidExamples if a file is unreadable or the sizes differ.
    """
    pixels = read_photo(example.path)
    return pixels, read_matte(example.mask, pixels, example.path)


def read_photo(path: Path) -> Pixels:
    """Decode a photo as the worker does: upright, sRGB, u8 H×W×3. Raises InvalidExamples if it is unreadable."""
    try:
        data = path.read_bytes()
        return decode(data, read_header(data, _ANY_SIZE)).pixels
    except (CutstreamError, OSError) as exc:
        raise InvalidExamples(f"the photo {path} cannot be read: {exc}") from exc


def read_matte(path: Path, pixels: Pixels, photo: Path) -> Matte:
    """Read a mask or matte, u8 H×W. Raises InvalidExamples if it is unreadable or not of the photo's size."""
    try:
        with Pillow.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise InvalidExamples(f"the mask {path} has more than 8 bits a pixel: save it as 8-bit grey, 0 to 255")
            matte: Matte = np.array(image.convert("L"))
    except (OSError, SyntaxError, ValueError) as exc:
        raise InvalidExamples(f"the mask {path} cannot be read: {exc}") from exc
    if matte.shape != pixels.shape[:2]:
        raise InvalidExamples(
            f"the mask {path} is {_size(matte)}, its photo {photo} {_size(pixels)} (upright, after the EXIF "
            "orientation): both must have the same size"
        )
    return matte


def files_by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """Return the folder's files with these suffixes. Raises InvalidExamples if two share a name."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        if path.stem in files:
            raise InvalidExamples(f"{files[path.stem]} and {path} share a name: remove one of them")
        files[path.stem] = path
    return files


def first_few(stems: Iterable[str]) -> str:
    """List the first names for an error message, and count the rest."""
    ordered = sorted(stems)
    rest = f" and {len(ordered) - _MAX_LISTED} more" if len(ordered) > _MAX_LISTED else ""
    return ", ".join(ordered[:_MAX_LISTED]) + rest


def _subfolder(folder: Path, name: str, suffixes: frozenset[str]) -> Mapping[str, Path]:
    if not (folder / name).is_dir():
        raise InvalidExamples(
            f"{folder} has no folder {name}/: an evaluation folder holds images/<name>.jpg and masks/<name>.png"
        )
    return files_by_stem(folder / name, suffixes)


def _list(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))


def _size(pixels: Pixels | Matte) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"
