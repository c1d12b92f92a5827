"""A photo with known alpha and colours, on machines where `ALPHA_PHOTOS` names its folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.support.hair import HairPicture

FOLDER = Path(os.environ.get("ALPHA_PHOTOS", ""))


def lemur() -> HairPicture:
    """Return the lemur of PyMatting's test images, with fur all around. Skips the test if the files are missing."""
    if not (FOLDER / "lemur_alpha.png").is_file():
        pytest.skip("ALPHA_PHOTOS names no folder with lemur.png, lemur_alpha.png and lemur_foreground.png")
    pixels, foreground = (_read(name, "RGB") for name in ("lemur", "lemur_foreground"))
    return HairPicture(pixels, _read("lemur_alpha", "L"), foreground)


def _read(name: str, mode: str) -> np.ndarray:
    with Pillow.open(FOLDER / f"{name}.png") as picture:
        return np.asarray(picture.convert(mode))
