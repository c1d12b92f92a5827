"""Make one training sample from photos: crop them, place subjects on other backgrounds, degrade the image."""

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

_MAX_SUBJECT_IN_BACKGROUND = 0.004  # share of a background's pixels; the sample labels them as background
_TRIES = 8  # to find a background
_AMONG_THINGS = 0.5  # probability that living subjects are placed among things


@dataclass(frozen=True)
class View:
    """A crop of a photo: centre in its px, its px per px of the sample (x and y), rotation in radians."""

    centre: tuple[float, float]
    step: tuple[float, float]
    rotation: float
    mirrored: bool


def sample(
    collections: Sequence[Collection],
    random: Generator,
    size: int,
    *,
    composites: float,
    panoramas: float,
    empty: float = 0.0,
) -> tuple[Pixels, Pixels]:
    """Draw a sample: u8 size×size×3 RGB and its matte, u8 size×size.

    `composites`, `panoramas` and `empty` are shares of all samples. In an empty one there is no subject.
    """
    chosen = _choose(collections, random)
    photo = _draw(chosen.photos, random)
    result = None
    kind = random.random()
    if kind < composites:
        result = _composite(chosen, photo, collections, random, size)
    elif kind < composites + panoramas:
        result = _panorama(chosen, photo, collections, random, size)
    elif kind < composites + panoramas + empty:
        result = _nothing(collections, random, size)
    if result is None:
        closer = random.random() < chosen.source.closer
        result = _render(photo, _crop(photo, random, size, closer), size)
    pixels, matte = result
    return _degrade(pixels, random), matte


def resize_whole(photo: Photo, size: int) -> tuple[Pixels, Pixels]:
    """Resize the whole photo and its matte to size×size, as in serving."""
    pixels, matte = (
        cv2.resize(values, (size, size), interpolation=cv2.INTER_AREA) for values in (photo.pixels, photo.matte)
    )
    return pixels, matte  # type: ignore[return-value]


def use_one_thread() -> None:
    """Limit OpenCV to one thread, for a process that prepares samples beside others."""
    cv2.setNumThreads(0)


# -- crops


def _crop(photo: Photo, random: Generator, size: int, closer: bool) -> View:
    """Draw a crop with much of the subject; with `closer` a part of the subject's bounding box."""
    height, width = photo.matte.shape
    top, left, bottom, right = photo.box
    if closer:
        side = np.sqrt((bottom - top) * (right - left)) * random.uniform(0.5, 1.1)
        span = np.minimum(side * np.exp(random.uniform(-0.25, 0.25) * np.array([1, -1])), [width, height])
        # Prefer the top, where heads and faces are.
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
    rotation = random.normal(0.0, 0.12) if random.random() < 0.3 else 0.0
    return View((x, y), (span[0] / size, span[1] / size), rotation, random.random() < 0.5)


def _draw_placement(photo: Photo, random: Generator, size: int, smallest: float, largest: float) -> View:
    """Draw a view of the whole subject, at a size between `smallest` and `largest` of the sample's side.

    Parts of it may lie outside. Sizes are uniform on a logarithmic scale, because street photos have small subjects.
    """
    top, left, bottom, right = photo.box
    share = np.exp(random.uniform(np.log(smallest), np.log(largest)))
    step = max(bottom - top, right - left) / (size * share)
    stretch = np.exp(random.uniform(-0.2, 0.2))
    across, down = step * stretch, step / stretch
    x = (left + right) / 2 - random.uniform(-0.4, 0.4) * size * across
    y = (top + bottom) / 2 - random.uniform(-0.4, 0.4) * size * down
    return View((x, y), (across, down), random.normal(0.0, 0.15), random.random() < 0.5)


def _render(photo: Photo, view: View, size: int, border: int = cv2.BORDER_REPLICATE) -> tuple[Pixels, Pixels]:
    pixels = _warp(photo.pixels, view, size, border)
    return pixels, _warp(photo.matte, view, size, border)


def _warp(values: Pixels, view: View, size: int, border: int) -> Pixels:
    """Warp the view to the sample. Reduce by area first, as serving does: sampling alone would alias fine patterns."""
    height, width = values.shape[:2]
    (x, y), (across, down) = view.centre, view.step
    reduced = max(1, round(width / max(1.0, across))), max(1, round(height / max(1.0, down)))
    if reduced != (width, height):
        values = cv2.resize(values, reduced, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    scale_x, scale_y = reduced[0] / width, reduced[1] / height
    cos, sin = np.cos(view.rotation), np.sin(view.rotation)
    linear = np.array([[cos, -sin], [sin, cos]])
    if view.mirrored:
        linear[:, 0] *= -1
    linear *= [[across * scale_x], [down * scale_y]]
    offset = np.array([x * scale_x, y * scale_y]) - linear @ [size / 2, size / 2]
    matrix = np.column_stack([linear, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, matrix, (size, size), flags=flags, borderMode=border)  # type: ignore[return-value]


# -- panoramas


def _panorama(
    chosen: Collection, first: Photo, collections: Sequence[Collection], random: Generator, size: int
) -> tuple[Pixels, Pixels]:
    """Put two or three photos side by side, as narrow as a wide image gets when it is resized to a square.

    People and animals are the subject. Without any, everything is.
    """
    sources = [chosen, *(_choose(collections, random) for _ in range(int(random.integers(1, 3))))]
    photos = [first, *(_draw(source.photos, random) for source in sources[1:])]
    shares = random.uniform(0.6, 1.4, len(sources))
    edges = np.rint(np.cumsum([0, *shares]) / shares.sum() * size).astype(int)
    living = any(source.source.living for source in sources)
    pixels, matte = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
    for left, right, number in zip(edges[:-1], edges[1:], random.permutation(len(sources)), strict=True):
        part, alpha = _render(photos[number], _crop(photos[number], random, size, closer=False), size)
        part_size = (int(right - left), size)
        pixels[:, left:right] = cv2.resize(part, part_size, interpolation=cv2.INTER_AREA)
        if sources[number].source.living or not living:
            matte[:, left:right] = cv2.resize(alpha, part_size, interpolation=cv2.INTER_AREA)
    return pixels, matte


# -- scenes without a subject


def _nothing(collections: Sequence[Collection], random: Generator, size: int) -> tuple[Pixels, Pixels]:
    """Draw a scene without a subject: the background of a photo, or a surface, even or patterned."""
    background = _draw_background(collections, random, size) if random.random() < 0.7 else None
    scene = _draw_surface(random, size) if background is None else background
    return scene, np.zeros((size, size), np.uint8)


def _draw_surface(random: Generator, size: int) -> Pixels:
    """Draw a colour that may change slowly, with waves, squares or grain on it, or none."""
    across, down = np.meshgrid(*[np.linspace(-0.5, 0.5, size)] * 2)
    corner, slope_x, slope_y = random.uniform(0, 255, 3), *random.normal(0, 60, (2, 3))
    surface = corner + across[..., None] * slope_x + down[..., None] * slope_y
    kind, strength = random.integers(4), random.uniform(5, 120)
    if kind in (1, 2):
        angle, waves = random.uniform(0, np.pi), np.exp(random.uniform(np.log(2), np.log(60))) * 2 * np.pi
        phase = waves * (np.cos(angle) * across + np.sin(angle) * down)
        pattern = np.sin(phase)
        if kind == 2:
            pattern = np.sign(pattern * np.sin(waves * (np.cos(angle) * down - np.sin(angle) * across)))
        surface += strength * pattern[..., None] * random.uniform(0.5, 1, 3)
    elif kind == 3:
        grain = random.normal(0, 1, (size, size, 3 if random.random() < 0.5 else 1))
        if random.random() < 0.7:
            sigma = np.exp(random.uniform(np.log(0.5), np.log(12)))
            grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), sigma), np.float64).reshape(size, size, -1)
        surface += strength * grain / (grain.std() + 1e-6)
    return surface.clip(0, 255).astype(np.uint8)


# -- composites


def _composite(
    chosen: Collection, first: Photo, collections: Sequence[Collection], random: Generator, size: int
) -> tuple[Pixels, Pixels] | None:
    """Place one to three subjects of a source on a background without a subject.

    Living subjects may also be placed among the things of another photo. Returns None if no background was found or if
    almost nothing of the subjects is visible.
    """
    things = [collection for collection in collections if not collection.source.living]
    among_things = chosen.source.living and things and random.random() < _AMONG_THINGS
    canvas = _draw_scene(things, random, size) if among_things else _draw_background(collections, random, size)
    if canvas is None:
        return None
    count = int(random.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))
    subjects = [first, *(_draw(chosen.photos, random) for _ in range(count - 1))]
    composed: NDArray[np.floating] = canvas.astype(np.float32)
    matte: NDArray[np.floating] = np.zeros((size, size), np.float32)
    for subject in subjects:
        # Among things, subjects must not be small: the network would learn to take the things, too.
        view = _draw_placement(subject, random, size, 0.3 if among_things else 0.12, 1.1 if count == 1 else 0.8)
        pixels, alpha = _render(_estimate_foreground(subject), view, size, cv2.BORDER_CONSTANT)
        opacity = alpha.astype(np.float32) / 255
        composed += opacity[..., None] * (pixels - composed)
        matte = 1 - (1 - matte) * (1 - opacity)
    if matte.mean() < 0.003:
        return None
    return composed.round().astype(np.uint8), (matte * 255).round().astype(np.uint8)


def _estimate_foreground(photo: Photo) -> Photo:
    """Estimate the subject's own colours at its edge from its pixels nearby.

    One pass of blurred estimation (M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021).
    """
    alpha = (photo.matte.astype(np.float32) / 255)[..., None]
    window = (15, 15)
    nearby = cv2.blur(photo.pixels * alpha, window) / (cv2.blur(alpha, window)[..., None] + 1e-3)
    colours = alpha * photo.pixels + (1 - alpha) * nearby
    return Photo(photo.stem, colours.clip(0, 255).astype(np.uint8), photo.matte, photo.box)


def _draw_background(collections: Sequence[Collection], random: Generator, size: int) -> Pixels | None:
    for _ in range(_TRIES):
        photo = _draw(collections[int(random.integers(len(collections)))].photos, random)
        height, width = photo.matte.shape
        rows, columns = (int(side * random.uniform(0.35, 0.9)) for side in (height, width))
        top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
        window = np.s_[top : top + rows, left : left + columns]
        if (photo.matte[window] > 40).mean() <= _MAX_SUBJECT_IN_BACKGROUND:
            resized = cv2.resize(photo.pixels[window], (size, size), interpolation=cv2.INTER_LINEAR)
            return resized if random.random() < 0.7 else cv2.GaussianBlur(resized, (0, 0), random.uniform(1, 5))  # type: ignore[return-value]
    return None


def _draw_scene(collections: Sequence[Collection], random: Generator, size: int) -> Pixels:
    """Draw a crop with most of a photo, with everything in it."""
    photo = _draw(_choose(collections, random).photos, random)
    height, width = photo.matte.shape
    rows, columns = (int(side * random.uniform(0.6, 1.0)) for side in (height, width))
    top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
    window = photo.pixels[top : top + rows, left : left + columns]
    return cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _choose(collections: Sequence[Collection], random: Generator) -> Collection:
    """Draw a collection in proportion to its source's share."""
    shares = np.array([collection.source.share for collection in collections])
    return collections[int(random.choice(len(collections), p=shares / shares.sum()))]


def _draw(photos: Sequence[Photo], random: Generator) -> Photo:
    return photos[int(random.integers(len(photos)))]


# -- degradation


def _degrade(pixels: Pixels, random: Generator) -> Pixels:
    """Change light and colour, and add blur, motion blur, noise and compression, each in some of the samples."""
    if random.random() < 0.8:
        pixels = _change_light(pixels, random)
    if random.random() < 0.06:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    choice = random.random()
    if choice < 0.10:
        pixels = cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.5, 1.6))  # type: ignore[assignment]
    elif choice < 0.18:
        pixels = _motion_blur(pixels, random)
    elif choice < 0.26:
        pixels = _upscale(pixels, random)
    if random.random() < 0.12:
        noise = random.normal(0.0, random.uniform(2, 10), pixels.shape).astype(np.float32)
        pixels = (pixels + noise).clip(0, 255).astype(np.uint8)
    if random.random() < 0.3:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(30, 90))])
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return pixels


def _change_light(pixels: Pixels, random: Generator) -> Pixels:
    """Apply gamma, gain and offset per channel by a table, then change the saturation."""
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


def _motion_blur(pixels: Pixels, random: Generator) -> Pixels:
    length = int(random.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    angle = random.uniform(0, np.pi)
    centre, reach = (length - 1) / 2, (length - 1) / 2
    ends = [
        (round(centre + sign * reach * np.cos(angle)), round(centre + sign * reach * np.sin(angle))) for sign in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return cv2.filter2D(pixels, -1, kernel / kernel.sum())  # type: ignore[return-value]


def _upscale(pixels: Pixels, random: Generator) -> Pixels:
    """Reduce the image and enlarge it again."""
    size = pixels.shape[0]
    small = int(size * random.uniform(0.35, 0.8))
    return cv2.resize(cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA), (size, size))  # type: ignore[return-value]
