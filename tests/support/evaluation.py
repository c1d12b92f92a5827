"""Evaluation folders for tests: photos of discs, with their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.models import disc_of, picture_with_blob

SIDE = 96
DISCS = {
    "cats_1": ((40, 44), 20),
    "cats_2": ((50, 40), 25),
    "dogs_1": ((48, 48), 30),
}


def mask_of(stem: str, side: int = SIDE, moved: int = 0, discs: dict | None = None) -> np.ndarray:
    (x, y), radius = (discs or DISCS)[stem]
    return disc_of((x + moved, y), radius, side).astype(np.uint8) * 255


def evaluation_folder(folder: Path, discs: dict | None = None, side: int = SIDE) -> Path:
    """Write `images/<stem>.jpg` and `masks/<stem>.png` for each disc."""
    discs = discs or DISCS
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for stem, (centre, radius) in discs.items():
        Image.fromarray(picture_with_blob(centre, radius, side)).save(folder / "images" / f"{stem}.jpg", quality=95)
        Image.fromarray(mask_of(stem, side, discs=discs)).save(folder / "masks" / f"{stem}.png")
    return folder


def matte_folder(folder: Path, moved: int = 0) -> Path:
    """Write a matte for each disc of DISCS, moved to the right."""
    folder.mkdir()
    for stem in DISCS:
        Image.fromarray(mask_of(stem, moved=moved)).save(folder / f"{stem}.png")
    return folder
