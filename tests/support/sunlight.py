"""Rendered scenes with known light: bodies of revolution and their shadows on level ground."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter


class Body(NamedTuple):
    """A body that stands at `x`, `y`. `radii` are half its width at each pixel of its height, from below."""

    x: float
    y: float
    radii: Any
    colour: tuple[int, int, int]


SLANT = 0.4  # height over width of a circle on the ground, as the camera sees it


def scene(
    angle: float, length: float = 1.0, softness: float = 2.0, noise: float = 4.0, seed: int = 0, size: Any = (360, 480)
) -> Any:
    """Render a scene, u8 HWC.

    The light comes from `angle`, as in `Light`. Shadows are `length` times as long as their bodies are high, with a
    blur of `softness` pixels (standard deviation).
    """
    random = np.random.default_rng(seed)
    bodies = [_body(random, x, y) for x, y in _places(random, size)]
    down, right = np.cos(np.radians(angle)) * length, -np.sin(np.radians(angle)) * length
    dark = np.zeros(size, bool)
    for body in bodies:
        for height, radius in enumerate(body.radii):
            _ellipse(dark, body.x + height * right, body.y + height * down, radius, True)
    light = 1 - random.uniform(0.4, 0.65) * gaussian_filter(dark.astype(float), softness)
    picture = np.array(random.integers(120, 220, 3), float) * light[..., None]
    picture *= np.linspace(random.uniform(0.85, 1), 1, size[0])[:, None, None]
    for body in sorted(bodies, key=lambda body: body.y):
        for height, radius in enumerate(body.radii):
            colour = np.array(body.colour) * (0.7 + 0.3 * height / len(body.radii))
            _ellipse(picture, body.x, body.y - height, radius, colour)
    picture += random.normal(0, noise, (*size, 1)) + random.normal(0, noise / 2, (*size, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def shaded(angle: float, noise: float = 4.0, seed: int = 0, size: Any = (360, 480)) -> Any:
    """Render a plain wall that gets darker away from the light, u8 HWC."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / max(size) - 0.5
    towards = columns * np.sin(np.radians(angle)) - rows * np.cos(np.radians(angle))
    picture = np.array(random.integers(110, 180, 3)) * (1 + 0.6 * towards[..., None])
    return np.clip(picture + random.normal(0, noise, (*size, 3)), 0, 255).astype(np.uint8)


def _places(random: Any, size: Any) -> list[tuple[float, float]]:
    height, width = size
    return [
        (width * (0.2 + 0.3 * place) + random.uniform(-20, 20), height * random.uniform(0.4, 0.65))
        for place in range(3)
    ]


def _body(random: Any, x: float, y: float) -> Body:
    tall, radius = random.integers(45, 80), random.uniform(9, 18)
    at = np.linspace(0, 1, tall)
    radii = random.choice(np.array([np.ones_like(at), 1 - 0.8 * at, np.sqrt(1 - (2 * at - 1) ** 2)])) * radius
    red, green, blue = random.permutation([random.integers(150, 230), random.integers(30, 90), random.integers(20, 60)])
    return Body(x, y, radii, (int(red), int(green), int(blue)))


def _ellipse(picture: Any, x: float, y: float, radius: float, value: Any) -> None:
    top, left = max(0, int(y - radius)), max(0, int(x - radius))
    part = picture[top : max(0, int(y + radius) + 2), left : max(0, int(x + radius) + 2)]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    part[(columns - x) ** 2 + ((rows - y) / SLANT) ** 2 <= radius**2] = value
