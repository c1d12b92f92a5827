"""From training photos to one sample: cropped, placed on other photos' backgrounds, and taken by a worse camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.train.photos import Collection, Photo

Pixels: TypeAlias = NDArray[np.uint8]

# Of a background's pixels this share may belong to its own subject, which the sample calls background.
_LEFT_OVER = 0.004
_TRIES = 8
_AMONG_THINGS = 0.5


@dataclass(frozen=True)
class View:
    """What of a photo is seen: centre in its px, its px per px of the sample across and down, turn in radians."""

    centre: tuple[float, float]
    step: tuple[float, float]
    turn: float
    mirrored: bool


def sample(
    collections: Sequence[Collection], random: Generator, size: int, *, composites: float, panoramas: float
) -> tuple[Pixels, Pixels]:
    """u8 size×size×3 RGB and its u8 size×size matte; `composites` and `panoramas` are shares of all samples."""
    chosen = _choose(collections, random)
    photo = _draw(chosen.photos, random)
    made = None
    kind = random.random()
    if kind < composites:
        made = _composite(chosen, photo, collections, random, size)
    elif kind < composites + panoramas:
        made = _panorama(chosen, photo, collections, random, size)
    if made is None:
        closer = random.random() < chosen.source.closer
        made = _seen(photo, _crop(photo, random, size, closer), size)
    pixels, matte = made
    return _camera(pixels, random), matte


def whole(photo: Photo, size: int) -> tuple[Pixels, Pixels]:
    """The photo and its matte as they are served: all of it, brought to size×size."""
    pixels, matte = (
        cv2.resize(values, (size, size), interpolation=cv2.INTER_AREA) for values in (photo.pixels, photo.matte)
    )
    return pixels, matte  # type: ignore[return-value]


def one_thread() -> None:
    """For a process that prepares samples beside others."""
    cv2.setNumThreads(0)


# -- where to look


def _crop(photo: Photo, random: Generator, size: int, closer: bool) -> View:
    """A part of the photo that holds much of its subject; with `closer` a part of the subject's own box."""
    height, width = photo.matte.shape
    top, left, bottom, right = photo.box
    if closer:
        side = np.sqrt((bottom - top) * (right - left)) * random.uniform(0.5, 1.1)
        span = np.minimum(side * np.exp(random.uniform(-0.25, 0.25) * np.array([1, -1])), [width, height])
        # Upwards, where heads and faces are.
        y = top + (bottom - top) * random.beta(1.0, 3.0)
        x = left + (right - left) * random.uniform(0.3, 0.7)
    else:
        area = random.uniform(0.35, 1.0) if random.random() < 0.75 else 1.0
        span = np.sqrt(area) * np.exp(random.uniform(-0.4, 0.4) * np.array([1, -1])) * [width, height]
        span = np.minimum(span, [width, height])
        x = random.uniform(left, right)
        y = random.uniform(top, bottom)
    x = float(np.clip(x, span[0] / 2, width - span[0] / 2))
    y = float(np.clip(y, span[1] / 2, height - span[1] / 2))
    turn = random.normal(0.0, 0.12) if random.random() < 0.3 else 0.0
    return View((x, y), (span[0] / size, span[1] / size), turn, random.random() < 0.5)


def _placed(photo: Photo, random: Generator, size: int, smallest: float, largest: float) -> View:
    """The whole subject somewhere in the sample, between `smallest` and `largest` of its side, some of it outside.

    As often between one size and its double as between that and the next: photos of a street have small subjects.
    """
    top, left, bottom, right = photo.box
    share = np.exp(random.uniform(np.log(smallest), np.log(largest)))
    step = max(bottom - top, right - left) / (size * share)
    stretch = np.exp(random.uniform(-0.2, 0.2))
    across, down = step * stretch, step / stretch
    x = (left + right) / 2 - random.uniform(-0.4, 0.4) * size * across
    y = (top + bottom) / 2 - random.uniform(-0.4, 0.4) * size * down
    return View((x, y), (across, down), random.normal(0.0, 0.15), random.random() < 0.5)


def _seen(photo: Photo, view: View, size: int, border: int = cv2.BORDER_REPLICATE) -> tuple[Pixels, Pixels]:
    pixels = _warp(photo.pixels, view, size, border)
    return pixels, _warp(photo.matte, view, size, border)


def _warp(values: Pixels, view: View, size: int, border: int) -> Pixels:
    """Shrunk by areas first, as photos are when they are served: sampling alone would let fine patterns alias."""
    height, width = values.shape[:2]
    (x, y), (across, down) = view.centre, view.step
    small = max(1, round(width / max(1.0, across))), max(1, round(height / max(1.0, down)))
    if small != (width, height):
        values = cv2.resize(values, small, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    scale_x, scale_y = small[0] / width, small[1] / height
    cos, sin = np.cos(view.turn), np.sin(view.turn)
    linear = np.array([[cos, -sin], [sin, cos]])
    if view.mirrored:
        linear[:, 0] *= -1
    linear *= [[across * scale_x], [down * scale_y]]
    offset = np.array([x * scale_x, y * scale_y]) - linear @ [size / 2, size / 2]
    matrix = np.column_stack([linear, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, matrix, (size, size), flags=flags, borderMode=border)  # type: ignore[return-value]


# -- wide frames


def _panorama(
    chosen: Collection, first: Photo, collections: Sequence[Collection], random: Generator, size: int
) -> tuple[Pixels, Pixels]:
    """Two or three photos beside each other, narrow as a wide frame makes them when it is brought to a square, and as
    full of things. People and animals are its subject; where there are none, everything is."""
    sources = [chosen, *(_choose(collections, random) for _ in range(int(random.integers(1, 3))))]
    photos = [first, *(_draw(source.photos, random) for source in sources[1:])]
    shares = random.uniform(0.6, 1.4, len(sources))
    edges = np.rint(np.cumsum([0, *shares]) / shares.sum() * size).astype(int)
    living = any(source.source.living for source in sources)
    pixels, matte = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
    for left, right, number in zip(edges[:-1], edges[1:], random.permutation(len(sources)), strict=True):
        part, alpha = _seen(photos[number], _crop(photos[number], random, size, closer=False), size)
        narrow = (int(right - left), size)
        pixels[:, left:right] = cv2.resize(part, narrow, interpolation=cv2.INTER_AREA)
        if sources[number].source.living or not living:
            matte[:, left:right] = cv2.resize(alpha, narrow, interpolation=cv2.INTER_AREA)
    return pixels, matte


# -- composites


def _composite(
    chosen: Collection, first: Photo, collections: Sequence[Collection], random: Generator, size: int
) -> tuple[Pixels, Pixels] | None:
    """One to three subjects of a source on a background without a subject, or, living ones, among another photo's
    things; None where no background was found, or nothing of the subjects is left to see."""
    things = [collection for collection in collections if not collection.source.living]
    among_things = chosen.source.living and things and random.random() < _AMONG_THINGS
    canvas = _scene(things, random, size) if among_things else _background(collections, random, size)
    if canvas is None:
        return None
    count = int(random.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))
    subjects = [first, *(_draw(chosen.photos, random) for _ in range(count - 1))]
    composed: NDArray[np.floating] = canvas.astype(np.float32)
    matte: NDArray[np.floating] = np.zeros((size, size), np.float32)
    for subject in subjects:
        # Too small among things, people would take the things.
        view = _placed(subject, random, size, 0.3 if among_things else 0.12, 1.1 if count == 1 else 0.8)
        pixels, alpha = _seen(_cut(subject), view, size, cv2.BORDER_CONSTANT)
        opacity = alpha.astype(np.float32) / 255
        composed += opacity[..., None] * (pixels - composed)
        matte = 1 - (1 - matte) * (1 - opacity)
    if matte.mean() < 0.003:
        return None
    return composed.round().astype(np.uint8), (matte * 255).round().astype(np.uint8)


def _cut(photo: Photo) -> Photo:
    """The subject's own colours up to its edge: what shines through there comes from its neighbours inside.

    A blurred estimate in one pass (M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021).
    """
    alpha = (photo.matte.astype(np.float32) / 255)[..., None]
    reach = (15, 15)
    near = cv2.blur(photo.pixels * alpha, reach) / (cv2.blur(alpha, reach)[..., None] + 1e-3)
    colours = alpha * photo.pixels + (1 - alpha) * near
    return Photo(photo.stem, colours.clip(0, 255).astype(np.uint8), photo.matte, photo.box)


def _background(collections: Sequence[Collection], random: Generator, size: int) -> Pixels | None:
    for _ in range(_TRIES):
        photo = _draw(collections[int(random.integers(len(collections)))].photos, random)
        height, width = photo.matte.shape
        rows, columns = (int(side * random.uniform(0.35, 0.9)) for side in (height, width))
        top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
        window = np.s_[top : top + rows, left : left + columns]
        if (photo.matte[window] > 40).mean() <= _LEFT_OVER:
            resized = cv2.resize(photo.pixels[window], (size, size), interpolation=cv2.INTER_LINEAR)
            return resized if random.random() < 0.7 else cv2.GaussianBlur(resized, (0, 0), random.uniform(1, 5))  # type: ignore[return-value]
    return None


def _scene(collections: Sequence[Collection], random: Generator, size: int) -> Pixels:
    """Most of a photo, with whatever it shows."""
    photo = _draw(_choose(collections, random).photos, random)
    height, width = photo.matte.shape
    rows, columns = (int(side * random.uniform(0.6, 1.0)) for side in (height, width))
    top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
    window = photo.pixels[top : top + rows, left : left + columns]
    return cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _choose(collections: Sequence[Collection], random: Generator) -> Collection:
    """By their sources' shares."""
    shares = np.array([collection.source.share for collection in collections])
    return collections[int(random.choice(len(collections), p=shares / shares.sum()))]


def _draw(photos: Sequence[Photo], random: Generator) -> Photo:
    return photos[int(random.integers(len(photos)))]


# -- the camera


def _camera(pixels: Pixels, random: Generator) -> Pixels:
    """Light, colour, softness, motion, noise and compression, each in some of the samples."""
    if random.random() < 0.8:
        pixels = _light(pixels, random)
    if random.random() < 0.06:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    draw = random.random()
    if draw < 0.10:
        pixels = cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.5, 1.6))  # type: ignore[assignment]
    elif draw < 0.18:
        pixels = _motion(pixels, random)
    elif draw < 0.26:
        pixels = _enlarged(pixels, random)
    if random.random() < 0.12:
        noise = random.normal(0.0, random.uniform(2, 10), pixels.shape).astype(np.float32)
        pixels = (pixels + noise).clip(0, 255).astype(np.uint8)
    if random.random() < 0.3:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(30, 90))])
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return pixels


def _light(pixels: Pixels, random: Generator) -> Pixels:
    """Gamma, gain and offset per channel by a table, then saturation."""
    levels = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(random.normal(0.0, 0.25))
    gains = np.exp(random.normal(0.0, 0.12) + random.normal(0.0, 0.06, 3))
    offset = random.normal(0.0, 0.05)
    table = (levels[:, None] ** gamma * gains + offset).clip(0, 1) * 255
    lit = cv2.LUT(pixels, table.astype(np.uint8)[None])
    if random.random() < 0.5:
        grey = cv2.cvtColor(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        amount = random.uniform(0.4, 1.5)
        lit = cv2.addWeighted(lit, amount, grey, 1 - amount, 0)
    return lit  # type: ignore[return-value]


def _motion(pixels: Pixels, random: Generator) -> Pixels:
    length = int(random.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    angle = random.uniform(0, np.pi)
    centre, reach = (length - 1) / 2, (length - 1) / 2
    ends = [
        (round(centre + sign * reach * np.cos(angle)), round(centre + sign * reach * np.sin(angle))) for sign in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return cv2.filter2D(pixels, -1, kernel / kernel.sum())  # type: ignore[return-value]


def _enlarged(pixels: Pixels, random: Generator) -> Pixels:
    """As a small picture that somebody blew up."""
    size = pixels.shape[0]
    small = int(size * random.uniform(0.35, 0.8))
    return cv2.resize(cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA), (size, size))  # type: ignore[return-value]
