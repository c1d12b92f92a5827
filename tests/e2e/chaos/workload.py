"""The requests of a run: which photos, from where, with which options, and which of them are bad on purpose."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import skimage
from PIL import Image

DATA = Path(skimage.__file__).parent / "data"
CROP = (160, 120)
# Where such a crop shows a person or a cat: the photo, and the ranges of the crop's top and left.
SUBJECTS = (("astronaut.png", (20, 300), (110, 250)), ("chelsea.png", (70, 150), (70, 170)))
OPTIONS: tuple[tuple[str, ...], ...] = (("cutout",), ("mask",), ("cutout", "mask"))
URGENT_SHARE, NAMELESS_SHARE, POISON_SHARE = 0.1, 0.1, 0.01
NUMBER_HEADER = "chaos-number"

Topic: TypeAlias = Literal["requests", "urgent"]


@dataclass(frozen=True)
class Recipe:
    """The photo and the outputs, which alone decide what the objects of a request look like."""

    photo: str
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """A request to send. `recipe` is None for poison, which must fail. One with a deadline may expire instead."""

    number: int
    topic: Topic
    key: bytes | None
    value: bytes
    recipe: Recipe | None
    may_expire: bool = False


@dataclass(frozen=True)
class Places:
    """Address prefixes: where the photos are, and where outputs may go. None is the default destination."""

    sources: Sequence[str]
    destinations: Sequence[str | None]


def write_photos(folder: Path, count: int, size: tuple[int, int] = CROP) -> list[str]:
    """Write small crops of real photos, no two alike, at this width and height, and return their names.

    Each has a subject: a request without one would fail.
    """
    chooser = random.Random(7)
    sources = [(np.asarray(Image.open(DATA / name).convert("RGB")), *where) for name, *where in SUBJECTS]
    width, height = CROP
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"photo-{number}.jpg" for number in range(count)]
    for name in names:
        pixels, tops, lefts = chooser.choice(sources)
        top, left = chooser.randrange(*tops), chooser.randrange(*lefts)
        buffer = io.BytesIO()
        crop = Image.fromarray(pixels[top : top + height, left : left + width])
        crop.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        (folder / name).write_bytes(buffer.getvalue())
    return names


def quiet_requests(photos: Sequence[str], places: Places) -> list[Planned]:
    """Return one request for each photo and each choice of outputs, to learn what the objects have to look like."""
    recipes = [Recipe(photo, outputs) for photo in photos for outputs in OPTIONS]
    return [_good(number, recipe, "requests", places.sources[0], None, True) for number, recipe in enumerate(recipes)]


def chaos_requests(count: int, seed: int, photos: Sequence[str], places: Places, first: int) -> list[Planned]:
    """Return `count` mixed requests, numbered from `first`. Equal arguments give equal requests."""
    chooser = random.Random(seed)
    return [_draw(number, chooser, photos, places) for number in range(first, first + count)]


def _draw(number: int, chooser: random.Random, photos: Sequence[str], places: Places) -> Planned:
    topic: Topic = "urgent" if chooser.random() < URGENT_SHARE else "requests"
    source, destination = chooser.choice(places.sources), chooser.choice(places.destinations)
    recipe = Recipe(chooser.choice(photos), chooser.choice(OPTIONS))
    named = chooser.random() >= NAMELESS_SHARE
    if chooser.random() < POISON_SHARE:
        return _poison(number, topic, chooser, places)
    return _good(number, recipe, topic, source, destination, named)


def _good(number: int, recipe: Recipe, topic: Topic, source: str, destination: str | None, named: bool) -> Planned:
    fields: dict[str, Any] = {
        "image": f"{source}/{recipe.photo}",
        "outputs": recipe.outputs,
        "labels": {"number": str(number)},
        **({"id": f"request-{number}"} if named else {}),
        **({"destination": destination} if destination else {}),
    }
    key = f"request-{number}".encode() if named else None
    return Planned(number, topic, key, json.dumps(fields).encode(), recipe)


def _poison(number: int, topic: Topic, chooser: random.Random, places: Places) -> Planned:
    missing = f"{chooser.choice(places.sources)}/missing.jpg"
    images = (missing, f"{places.sources[0]}/corrupt.jpg", "http://elsewhere.invalid/x.jpg", "file:///etc/hostname")
    image = chooser.choice((*images, None))
    fields = {"id": f"request-{number}", "image": image, "labels": {"number": str(number)}}
    value = b'{"image": ' if image is None else json.dumps(fields).encode()
    return Planned(number, topic, f"request-{number}".encode(), value, None)
