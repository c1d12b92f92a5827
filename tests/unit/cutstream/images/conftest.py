from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image as Pillow

from cutstream.images import Pixels

PHOTOS = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """Odd sides, wider than high, no symmetry."""
    coffee = Pillow.open(PHOTOS / "coffee.png").convert("RGB")
    return np.asarray(coffee.resize((151, 101), Pillow.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def matte(photo: Pixels) -> Pixels:
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    return np.clip(255 * (1.5 - np.hypot((x - 75) / 50, (y - 50) / 40) * 1.2), 0, 255).astype(np.uint8)
