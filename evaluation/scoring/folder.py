"""The evaluation folder: `images/` and `masks/` whose files belong together by their stems."""

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
from producer.submitting import PICTURES

MASKS = frozenset({".png"})
MATTES = frozenset({".png", ".webp", ".jpg", ".jpeg"})
_NAMED = 5  # of the files that a message is about
_ANY_SIZE = 1 << 40


class InvalidExamples(CutstreamError):
    """The photos, masks, mattes or attributes to evaluate with cannot be used as they are.

    Correct what the message names; docs/evaluation.md describes the folder.
    """

    code = "invalid_examples"


@dataclass(frozen=True)
class Photo:
    """A photo, and its name without extension."""

    stem: str
    photo: Path


@dataclass(frozen=True)
class Example(Photo):
    """A photo, its true mask, and the name that they share."""

    mask: Path


def examples(folder: Path) -> list[Example]:
    """All pairs by stem, in order. Raises InvalidExamples unless every photo has its mask and every mask its photo."""
    photos, masks = _files(folder, "images", PICTURES), _files(folder, "masks", MASKS)
    if not photos.keys() & masks.keys():
        raise InvalidExamples(
            f"{folder} holds no photo with a mask: looked for images/<name>.jpg (or {_list(PICTURES)}) and "
            f"masks/<name>.png, found {len(photos)} photos and {len(masks)} masks"
        )
    problems = [
        f"{what} {first_few(alone)}"
        for what, alone in (
            ("no mask in masks/ for", photos.keys() - masks.keys()),
            ("no photo in images/ for", masks.keys() - photos.keys()),
        )
        if alone
    ]
    if problems:
        raise InvalidExamples(f"{folder}: {'; '.join(problems)}. Add what is missing or take the rest away")
    return [Example(stem, photos[stem], masks[stem]) for stem in sorted(photos)]


def given_mattes(folder: Path, wanted: Iterable[Example]) -> dict[str, Path]:
    """The matte `<stem>.png` (or .webp, .jpg) of every example. Raises InvalidExamples when one is missing."""
    if not folder.is_dir():
        raise InvalidExamples(f"{folder} is not a folder: --predictions names one that holds <name>.png for each photo")
    found = by_stem(folder, MATTES)
    stems = [example.stem for example in wanted]
    if missing := {stem for stem in stems if stem not in found}:
        raise InvalidExamples(
            f"{folder} has no matte for {first_few(missing)}: each photo needs <name>.png (or {_list(MATTES)})"
        )
    return {stem: found[stem] for stem in stems}


def read_example(example: Example) -> tuple[Pixels, Matte]:
    """The upright photo, u8 H×W×3, and its mask, u8 H×W. Raises InvalidExamples when unreadable or of two sizes."""
    pixels = read_photo(example.photo)
    return pixels, read_matte(example.mask, pixels, example.photo)


def read_photo(path: Path) -> Pixels:
    """As the worker decodes it: upright, sRGB, eight bits."""
    try:
        data = path.read_bytes()
        return decode(data, read_header(data, _ANY_SIZE)).pixels
    except (CutstreamError, OSError) as exc:
        raise InvalidExamples(f"the photo {path} cannot be read: {exc}") from exc


def read_matte(path: Path, pixels: Pixels, photo: Path) -> Matte:
    """u8 H×W, of the photo's size. Raises InvalidExamples otherwise."""
    try:
        with Pillow.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise InvalidExamples(f"the mask {path} has more than 8 bits a pixel: save it as 8-bit grey, 0 to 255")
            matte: Matte = np.array(picture.convert("L"))
    except (OSError, SyntaxError, ValueError) as exc:
        raise InvalidExamples(f"the mask {path} cannot be read: {exc}") from exc
    if matte.shape != pixels.shape[:2]:
        raise InvalidExamples(
            f"the mask {path} is {_size(matte)}, its photo {photo} {_size(pixels)} (upright, after the EXIF "
            "orientation): they have to be of one size"
        )
    return matte


def by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """The folder's files of these kinds. Raises InvalidExamples where two share a name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        if path.stem in found:
            raise InvalidExamples(f"{found[path.stem]} and {path} share a name: leave one of them")
        found[path.stem] = path
    return found


def first_few(stems: Iterable[str]) -> str:
    ordered = sorted(stems)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more


def _files(folder: Path, name: str, suffixes: frozenset[str]) -> Mapping[str, Path]:
    if not (folder / name).is_dir():
        raise InvalidExamples(
            f"{folder} has no folder {name}/: an evaluation folder holds images/<name>.jpg and masks/<name>.png"
        )
    return by_stem(folder / name, suffixes)


def _list(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))


def _size(pixels: Pixels | Matte) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"
