"""Find the photos to tune on, with their true masks if there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cutstream.images import Matte, Pixels
from evaluation.folder import (
    Example,
    InvalidExamples,
    Photo,
    files_by_stem,
    find_examples,
    read_example,
    read_photo,
)
from producer.submitting import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Sample:
    """A photo and its unrefined matte, u8 h×w, at the network's size."""

    photo: Photo
    matte: Matte


def find_photos(folder: Path) -> list[Photo]:
    """Return examples if the folder has masks/, otherwise the photos in its images/, or in the folder itself.

    Raises InvalidExamples if there are none, or if masks and photos do not match.
    """
    if (folder / "masks").is_dir():
        return list(find_examples(folder))
    images = folder / "images" if (folder / "images").is_dir() else folder
    files = files_by_stem(images, IMAGE_SUFFIXES) if images.is_dir() else {}
    if not files:
        raise InvalidExamples(
            f"{folder} holds no photos: looked for images/<name>.jpg with masks/<name>.png, images/<name>.jpg and "
            f"<name>.jpg (or {', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return [Photo(stem, path) for stem, path in files.items()]


def have_masks(photos: Sequence[Photo]) -> bool:
    return all(isinstance(photo, Example) for photo in photos)


def read_photo_and_mask(photo: Photo) -> tuple[Pixels, Matte | None]:
    """Return the upright photo, u8 H×W×3, and its true mask if it has one. Raises InvalidExamples."""
    return read_example(photo) if isinstance(photo, Example) else (read_photo(photo.path), None)
