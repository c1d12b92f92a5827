"""Pictures without a subject: plain ones, gradients, noise, patterns, textures, and crops of photos' backgrounds.

Each is a function that returns u8 HWC RGB. cutnet finds something in most of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from scipy.ndimage import gaussian_filter

from cutstream.images import Pixels

DATA = Path(skimage.__file__).parent / "data"
HEIGHT, WIDTH = 600, 800
COLOURS = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "light": (240, 240, 240),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "skin": (224, 172, 140),
    "yellow": (250, 230, 10),
}
SHAPES = ((1, 1), (1, 100), (100, 1), (2, 2), (16, 16), (1, 3000), (3000, 2000))  # height, width
# Photographed textures, and parts of photos with nothing in them: the file, and top, bottom, left, right.
TEXTURES = ("grass.png", "gravel.png", "brick.png", "text.png", "page.png", "moon.png", "hubble_deep_field.jpg")
CROPS = {
    "sky": ("camera.png", (0, 110, 330, 512)),
    "another sky": ("camera.png", (0, 100, 0, 100)),
    "night sky": ("rocket.jpg", (0, 100, 200, 260)),
    "concrete floor": ("motorcycle_left.png", (430, 500, 0, 200)),
    "wooden table": ("coffee.png", (330, 400, 430, 600)),
    "lawn": ("grass.png", (100, 350, 50, 400)),
    "gravel path": ("gravel.png", (0, 300, 0, 450)),
    "wall": ("brick.png", (100, 400, 100, 500)),
    "lines of text": ("page.png", (0, 100, 0, 384)),
    "handwriting": ("text.png", (0, 100, 0, 200)),
    "craters": ("moon.png", (200, 400, 100, 400)),
    "stars": ("hubble_deep_field.jpg", (0, 300, 0, 400)),
}


def rgb(values: np.ndarray) -> Pixels:
    """Round to u8 HWC; a plane becomes grey."""
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def plain(colour: tuple[int, int, int], height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def gradient(kind: str) -> Pixels:
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 1.0
    from_centre = np.hypot(x - WIDTH / 2, y - HEIGHT / 2) / 500
    across, down = x / WIDTH, y / HEIGHT
    shapes = {
        "across": 255 * across,
        "down": 255 * down,
        "diagonal": 255 * (x + y) / (HEIGHT + WIDTH),
        "colours": np.stack([255 * across, 255 * down, 255 - 255 * across], axis=-1),
        "sky": np.stack([90 + 120 * down, 140 + 90 * down, 220 + 30 * down], axis=-1),
        "from the centre": 255 - 255 * from_centre,
        "vignette": 230 - 90 * from_centre**2,
        "strong vignette": 230 - 200 * from_centre**2,
        "from a corner": 255 * np.hypot(x, y) / 1000,
        "lamp": 120 + 60 * np.exp(-((x - 300) ** 2 + (y - 200) ** 2) / 2 / 200**2),
        "studio": 255 / (1 + np.exp(-(x - WIDTH / 2) / 80)),
    }
    return rgb(shapes[kind])


GRADIENTS = ("across", "down", "diagonal", "colours", "sky", "from the centre", "vignette", "strong vignette")
GRADIENTS += ("from a corner", "lamp", "studio")


def noise(height: int, width: int, grey: bool = False) -> Pixels:
    """Uniform noise."""
    return rgb(np.random.default_rng(0).integers(0, 256, (height, width) if grey else (height, width, 3)))


def sensor_noise(level: float, sigma: float) -> Pixels:
    return rgb(level + sigma * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 3)))


def specks(ground: int, speck: int, share: float) -> Pixels:
    return rgb(np.where(np.random.default_rng(0).random((HEIGHT, WIDTH)) < share, speck, ground))


def clouds(sigma: float, coloured: bool = False) -> Pixels:
    """Noise blurred with this standard deviation, in pixels."""
    shape, sigmas = ((HEIGHT, WIDTH, 3), (sigma, sigma, 0)) if coloured else ((HEIGHT, WIDTH), (sigma, sigma))
    plane = gaussian_filter(np.random.default_rng(0).standard_normal(shape), sigmas)
    return rgb(128 + 50 * plane / plane.std())


def pink_noise(power: float) -> Pixels:
    """Noise whose amplitudes fall with the frequency to this power."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH)[None])
    frequency[0, 0] = 1
    waves = np.fft.fft2(np.random.default_rng(0).standard_normal((HEIGHT, WIDTH)))
    plane = np.fft.ifft2(waves / frequency**power).real
    return rgb(128 + 45 * (plane - plane.mean()) / plane.std())


def noisy_gradient() -> Pixels:
    return rgb(gradient("across") + 10 * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 3)))


def stripes(kind: str, period: int, contrast: float = 255) -> Pixels:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    bars = {"upright": x // period, "level": y // period, "slanted": (x + y) // period}
    bars["chessboard"] = x // period + y // period
    return rgb(128 - contrast / 2 + contrast * (bars[kind] % 2))


def drawn(kind: str) -> Pixels:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    shapes = {
        "sine": 128 + 100 * np.sin(x / 15),
        "waves": 128 + 60 * np.sin(x / 15) + 60 * np.sin(y / 20),
        "dots": np.where(np.hypot(x % 50 - 25, y % 50 - 25) < 12, 0, 255),
        "grid": np.where((x % 50 < 3) | (y % 50 < 3), 0, 255),
        "halves": 255 * (x < WIDTH / 2),
        "horizon": np.where((y < 250)[..., None], [150, 190, 240], [60, 110, 50]),
        "red and white": np.where(((x // 60) % 2 == 0)[..., None], [200, 30, 40], [240, 240, 230]),
    }
    return rgb(shapes[kind])


DRAWN = ("sine", "waves", "dots", "grid", "halves", "horizon", "red and white")


def photographed(name: str, part: tuple[int, int, int, int] | None = None, tint: tuple[float, ...] = (1,)) -> Pixels:
    with Image.open(DATA / name) as photo:
        pixels = np.asarray(photo.convert("RGB"))
    top, bottom, left, right = part or (0, *pixels.shape[:1], 0, pixels.shape[1])
    return rgb(pixels[top:bottom, left:right] * np.array(tint))


def _all() -> Iterator[tuple[str, Callable[[], Pixels]]]:
    for name, colour in COLOURS.items():
        yield name, partial(plain, colour)
    for height, width in SHAPES:
        yield f"red {width}x{height}", partial(plain, (200, 40, 30), height, width)
    for height, width in SHAPES[:3]:
        yield f"white {width}x{height}", partial(plain, (255, 255, 255), height, width)
    for kind in GRADIENTS:
        yield f"gradient {kind}", partial(gradient, kind)
    for height, width in ((64, 64), (320, 320), (480, 640), (1000, 1500), (3000, 4000), (1, 400), (400, 1), (16, 16)):
        yield f"noise {width}x{height}", partial(noise, height, width)
    for height, width in ((320, 320), (480, 640), (3000, 4000)):
        yield f"grey noise {width}x{height}", partial(noise, height, width, grey=True)
    for level, sigma in ((128, 2), (128, 5), (128, 20), (128, 60), (250, 2), (250, 20)):
        yield f"sensor noise {sigma} at {level}", partial(sensor_noise, level, sigma)
    yield "noisy gradient", noisy_gradient
    yield "salt", partial(specks, 0, 255, 0.02)
    yield "pepper", partial(specks, 255, 0, 0.02)
    yield "black or white", partial(specks, 0, 255, 0.5)
    for sigma in (1, 4, 16, 64):
        yield f"clouds {sigma}", partial(clouds, sigma)
    for sigma in (2, 8, 32):
        yield f"coloured clouds {sigma}", partial(clouds, sigma, coloured=True)
    for power in (1, 1.5, 2):
        yield f"pink noise {power}", partial(pink_noise, power)
    for period in (4, 16, 50, 200):
        for kind in ("upright", "level", "slanted", "chessboard"):
            yield f"{kind} {period}", partial(stripes, kind, period)
    for period in (16, 100):
        yield f"faint chessboard {period}", partial(stripes, "chessboard", period, contrast=60)
    for kind in DRAWN:
        yield kind, partial(drawn, kind)
    for name in TEXTURES:
        yield name, partial(photographed, name)
    yield "red gravel", partial(photographed, "gravel.png", tint=(1, 0.8, 0.6))
    yield "green grass", partial(photographed, "grass.png", tint=(0.7, 1, 0.5))
    for name, (file, part) in CROPS.items():
        yield name, partial(photographed, file, part)


NOTHING: dict[str, Callable[[], Pixels]] = dict(_all())
