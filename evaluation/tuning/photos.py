"""What is tuned on: photos, with their true masks where these are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cutstream.images import Matte, Pixels
from evaluation.scoring.folder import Example, InvalidExamples, Photo, by_stem, examples, read_example, read_photo
from producer.submitting import PICTURES


@dataclass(frozen=True)
class Sample:
    """A photo, and the matte of its network: u8 h×w, of the network's size, as it was before any refinement."""

    photo: Photo
    matte: Matte


def photos(folder: Path) -> list[Photo]:
    """`Example`s where the folder has masks/; else the pictures of its images/, or of itself.

    Raises InvalidExamples when there are none, or masks and photos do not fit.
    """
    if (folder / "masks").is_dir():
        return list(examples(folder))
    place = folder / "images" if (folder / "images").is_dir() else folder
    found = by_stem(place, PICTURES) if place.is_dir() else {}
    if not found:
        raise InvalidExamples(
            f"{folder} holds no photos: looked for images/<name>.jpg with masks/<name>.png, images/<name>.jpg and "
            f"<name>.jpg (or {', '.join(sorted(PICTURES))})"
        )
    return [Photo(stem, path) for stem, path in found.items()]


def masked(found: Sequence[Photo]) -> bool:
    return all(isinstance(photo, Example) for photo in found)


def read(photo: Photo) -> tuple[Pixels, Matte | None]:
    """The upright photo, u8 H×W×3, and its true mask where it has one. Raises InvalidExamples."""
    return read_example(photo) if isinstance(photo, Example) else (read_photo(photo.photo), None)
