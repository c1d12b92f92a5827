"""Make photos for benchmarks: the demo's sample photos, enlarged, with noise like a sensor's.

Without noise, JPEG and PNG files would be smaller and faster than those of real photos.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

from cutstream.settings import ObjectSettings, Settings, load
from producer.demo import SAMPLE_PHOTOS

DATA = Path(skimage.__file__).parent / "data"


def photo_settings(folder: Path) -> Settings:
    """Return the settings of the environment with `folder` for photos and, in `out`, for outputs."""
    objects = ObjectSettings(destination=(folder / "out").as_uri(), file_roots=(folder,))
    return load().model_copy(update={"objects": objects})


def make_photos(folder: Path, count: int, size: tuple[int, int] = (1500, 1000), seed: int = 1) -> list[str]:
    """Write `count` different JPEGs of quality 90 and return their addresses. Equal arguments give equal bytes."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    addresses = []
    for number in range(count):
        source = Image.open(DATA / SAMPLE_PHOTOS[number % len(SAMPLE_PHOTOS)]).convert("RGB")
        pixels = np.asarray(source.resize(size, Image.Resampling.BICUBIC, box=_crop(source.size, size, random)))
        path = folder / f"{number:04}.jpg"
        path.write_bytes(_jpeg(add_noise(pixels, random)))
        addresses.append(path.absolute().as_uri())
    return addresses


def _crop(source: tuple[int, int], size: tuple[int, int], random: np.random.Generator) -> tuple[float, ...]:
    """Return a random part with the shape of `size`, at 0.85 to 1 times the largest possible size."""
    scale = min(source[0] / size[0], source[1] / size[1]) * random.uniform(0.85, 1.0)
    width, height = size[0] * scale, size[1] * scale
    left, top = random.uniform(0, source[0] - width), random.uniform(0, source[1] - height)
    return (left, top, left + width, top + height)


def add_noise(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add shot noise, which grows with the square root of the light, and constant read noise.

    At mid grey the standard deviation is about 3.5 levels.
    """
    light = pixels.astype(np.float32)
    sigma = np.sqrt(2.0**2 + light * 0.07)
    return np.clip(light + random.normal(0.0, 1.0, light.shape).astype(np.float32) * sigma, 0, 255).astype(np.uint8)


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
