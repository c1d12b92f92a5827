"""Images of hair with known alpha and colours: a photo's subject with thin strands, in front of another photo."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from cutstream.images import Matte, Pixels

DATA = Path(skimage.__file__).parent / "data"
FINER = 4  # alpha is drawn this many times larger and averaged: seventeen levels, strands thinner than a pixel

Points = NDArray[np.float64]

# x, y in the photo's pixels, slightly inside the subject, so that no colour of its own background is included.
_CORNERS = """
158 80 166 60 185 42 207 26 235 22 260 27 280 45 293 72 294 95 286 112 272 126 268 142 254 170 282 192 298 225 301 252
328 266 342 284 352 322 356 350 400 350 440 354 470 378 486 412 492 455 488 513 28 513 28 470 26 420 26 392 48 292 64
254 92 226 118 204 120 186 147 162 184 155 184 128 173 116 161 100
"""
ASTRONAUT = np.array(_CORNERS.split(), np.float64).reshape(-1, 2)
HEAD = slice(0, 11)  # the corners of the outline that hair grows from


@dataclass(frozen=True)
class HairPicture:
    """An image with its true alpha and foreground colours; all arrays are u8 and of one size.

    `pixels` are alpha · foreground + (1 - alpha) · background.
    """

    pixels: Pixels
    alpha: Matte
    foreground: Pixels


@cache
def astronaut(behind: str, seed: int = 1, side: int = 512) -> HairPicture:
    """Return a person with hair that stands out, `side` × `side`, in front of a photo of scikit-image."""
    outline = ASTRONAUT * (side / 512)
    return hairy(photo("astronaut.png", side, side), outline, outline[HEAD], behind, seed)


@cache
def fur_ball(behind: str, seed: int = 1, side: int = 400) -> HairPicture:
    """Return a disc of a cat's fur with hairs all around."""
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    outline = side * (0.5 + 0.27 * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    return hairy(photo("chelsea.png", side, side), outline, np.concatenate([outline, outline[:1]]), behind, seed)


def hairy(subject: Pixels, outline: Points, roots: Points, behind: str, seed: int) -> HairPicture:
    """Cut the subject out along `outline` and let strands grow from the line `roots`, away from its centre."""
    height, width = subject.shape[:2]
    random = np.random.default_rng(seed)
    alpha = Pillow.new("L", (width * FINER, height * FINER))
    foreground = Pillow.fromarray(subject)
    ImageDraw.Draw(alpha).polygon([(x * FINER, y * FINER) for x, y in outline], 255)
    for root, strand in _strands(roots, max(height, width), random):
        colour = _darker(subject[_inside(root, roots, subject)], random)
        _draw(ImageDraw.Draw(alpha), strand, FINER, random.uniform(0.5, 1.6), 255)
        _draw(ImageDraw.Draw(foreground), strand, 1, 4, colour)
    soft = np.asarray(alpha.reduce(FINER).filter(ImageFilter.GaussianBlur(0.6)))
    colours, background = np.asarray(foreground), photo(behind, width, height)
    share = soft[..., None].astype(np.float64) / 255
    pixels = np.rint(share * colours + (1 - share) * background).astype(np.uint8)
    return HairPicture(pixels, soft, colours)


def photo(name: str, width: int, height: int) -> Pixels:
    with Pillow.open(DATA / name) as picture:
        return np.asarray(picture.convert("RGB").resize((width, height), Pillow.Resampling.BICUBIC))


def _strands(roots: Points, side: int, random: np.random.Generator) -> list[tuple[Points, Points]]:
    """Return quadratic curves with their start points: about one for every two pixels of the line."""
    steps = np.hypot(*np.diff(roots, axis=0).T)
    places = np.sort(random.uniform(0, steps.sum(), int(steps.sum() / 2)))
    along = np.concatenate([[0], np.cumsum(steps)])
    middle = roots.mean(axis=0)
    strands = []
    for root in np.stack([np.interp(places, along, axis) for axis in roots.T], axis=1):
        away = (root - middle) / np.hypot(*(root - middle))
        across = np.array([-away[1], away[0]])
        length = side * random.uniform(0.02, 0.1)
        bend, drift = length * random.normal(0, 0.3, 2)
        control, tip = root + away * length / 2 + across * bend, root + away * length + across * drift
        start = root - away * 3
        t = np.linspace(0, 1, 24)[:, None]
        strands.append((root, (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * tip))
    return strands


def _inside(root: Points, roots: Points, subject: Pixels) -> tuple[int, int]:
    """Return the row and column from which a strand takes its colour."""
    x, y = root + 0.08 * (roots.mean(axis=0) - root)
    return min(max(int(y), 0), subject.shape[0] - 1), min(max(int(x), 0), subject.shape[1] - 1)


def _darker(colour: NDArray[np.uint8], random: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(level) for level in np.clip(colour * random.uniform(0.7, 1.1), 0, 255))


def _draw(draw: ImageDraw.ImageDraw, strand: Points, scale: int, width: float, colour: object) -> None:
    draw.line([(x * scale, y * scale) for x, y in strand], fill=colour, width=max(1, round(width * scale)))
