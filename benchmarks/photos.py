"""Photos for benchmarks: the demo's, enlarged, with sensor-like noise so that neither JPEG nor PNG is flattered."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

from producer.demo import OWN_PHOTOS

DATA = Path(skimage.__file__).parent / "data"


def make(folder: Path, count: int, size: tuple[int, int] = (1500, 1000), seed: int = 1) -> list[str]:
    """`count` different JPEGs of quality 90; returns their addresses. Same arguments, same bytes."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    addresses = []
    for number in range(count):
        source = Image.open(DATA / OWN_PHOTOS[number % len(OWN_PHOTOS)]).convert("RGB")
        pixels = np.asarray(source.resize(size, Image.Resampling.BICUBIC, box=_crop(source.size, size, random)))
        path = folder / f"{number:04}.jpg"
        path.write_bytes(_jpeg(_noisy(pixels, random)))
        addresses.append(path.absolute().as_uri())
    return addresses


def _crop(source: tuple[int, int], size: tuple[int, int], random: np.random.Generator) -> tuple[float, ...]:
    """The largest part of the target's shape, slightly smaller and elsewhere each time."""
    scale = min(source[0] / size[0], source[1] / size[1]) * random.uniform(0.85, 1.0)
    width, height = size[0] * scale, size[1] * scale
    left, top = random.uniform(0, source[0] - width), random.uniform(0, source[1] - height)
    return (left, top, left + width, top + height)


def _noisy(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Shot noise grows with the square root of the light, read noise is constant: about 3.5 levels at mid grey."""
    light = pixels.astype(np.float32)
    sigma = np.sqrt(2.0**2 + light * 0.07)
    return np.clip(light + random.normal(0.0, 1.0, light.shape).astype(np.float32) * sigma, 0, 255).astype(np.uint8)


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
