"""Folders of small training photos with mattes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.models import disc_of, picture_with_blob

SIDE = 64


def photo_folder(folder: Path, names: list[str], masks: bool = True, teacher: bool = False) -> Path:
    """Write photos with a disc at a different position and of a different size in each."""
    for part in ("images", *(["masks"] if masks else []), *(["teacher"] if teacher else [])):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        centre, radius = (20 + number % 24, 30 + number % 7), 10 + number % 9
        Image.fromarray(picture_with_blob(centre, radius, SIDE)).save(folder / "images" / f"{name}.png")
        matte = Image.fromarray((disc_of(centre, radius, SIDE) * 255).astype(np.uint8))
        if masks:
            matte.save(folder / "masks" / f"{name}.png")
        if teacher:
            matte.save(folder / "teacher" / f"{name}.webp", lossless=True)
    return folder
