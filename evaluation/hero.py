"""Draw the picture at the top of the README: photos, their cutouts, and composites, by profile `precise`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cutstream.clients.objects.files import path_of
from cutstream.settings import Settings
from evaluation.gallery import NotDrawn, sample_request
from producer.collecting import draw_chequerboard
from producer.demo import sample_photos_folder
from producer.following import RequestFollower

PROFILE = "precise"
CAPTIONS = ("photo", "cutout", "background and shadow", "background picture, colours adapted")
WIDTH_PX, GAP_PX, CAPTION_PX, FONT_PX = 1600, 12, 44, 21
TILE_PX = (WIDTH_PX - (len(CAPTIONS) + 1) * GAP_PX) // len(CAPTIONS)

COMMON = {"profile": PROFILE, "decontaminate": True, "format": "png"}
CANVAS = {"canvas": "1200x800", "position": "50% 45%"}


@dataclass(frozen=True)
class Row:
    """One photo with the request fields of each output; `aspect` is the height of what is shown by its width."""

    photo: str
    outputs: Sequence[Mapping[str, Any]]
    aspect: float


ROWS = (
    Row(
        "coffee.png",
        (
            {"outputs": ["cutout"]},
            {
                **CANVAS,
                "outputs": ["composite"],
                "scale": "78%",
                "background": {"gradient": {"colors": ["#ffffff", "#d9c7ae"], "type": "radial"}},
                "shadow": {"type": "contact", "opacity": 0.7},
            },
            {
                **CANVAS,
                "outputs": ["composite"],
                "scale": "70%",
                "background": {"image": "gravel.png"},
                "shadow": {"type": "drop", "opacity": 0.7},
                "harmonise": {"method": "reinhard", "strength": 0.3},
            },
        ),
        2 / 3,
    ),
    Row(
        "astronaut.png",
        (
            {"outputs": ["cutout"]},
            {
                "outputs": ["composite"],
                "background": {"gradient": {"colors": ["#dfe9f3", "#9fb6cd"]}},
                "shadow": {"type": "drop", "opacity": 0.5},
            },
            {
                "outputs": ["composite"],
                "background": {"image": "hubble_deep_field.jpg"},
                "harmonise": {"method": "reinhard", "strength": 0.2},
            },
        ),
        0.83,  # below, the cutout has a faint haze in its left corner
    ),
)


def draw_hero(settings: Settings, path: Path, check_stack: Callable[[], None]) -> Path:
    """Write the picture and return its path. Raises NotDrawn if a request fails."""
    requests = [
        sample_request(f"hero-{row}-{column}", ROWS[row].photo, {**COMMON, **fields})
        for row in range(len(ROWS))
        for column, fields in enumerate(ROWS[row].outputs)
    ]
    with RequestFollower(settings.kafka) as follower:
        batch = follower.follow(requests, on_progress=lambda batch: check_stack())
    files: dict[str, bytes] = {}
    for id, result in batch.results.items():
        if result.error is not None:
            raise NotDrawn(f"{id}: {result.error.code}: {result.error.message}")
        files[id] = Path(path_of(result.objects[0].uri)).read_bytes()
    rows = []
    for number, row in enumerate(ROWS):
        photo = (sample_photos_folder() / row.photo).read_bytes()
        rows.append([photo, *(files[f"hero-{number}-{column}"] for column in range(len(row.outputs)))])
    path.parent.mkdir(parents=True, exist_ok=True)
    lay_out(rows, [row.aspect for row in ROWS]).save(path, quality=88, optimize=True, progressive=True)
    return path


def lay_out(rows: Sequence[Sequence[bytes]], aspects: Sequence[float]) -> Pillow.Image:
    """Draw image files in rows below the captions; each row shows the top of its images, at its aspect."""
    heights = [round(TILE_PX * aspect) for aspect in aspects]
    sheet = Pillow.new("RGB", (WIDTH_PX, CAPTION_PX + sum(heights) + GAP_PX * len(heights)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    lefts = [GAP_PX + column * (TILE_PX + GAP_PX) for column in range(len(CAPTIONS))]
    for left, caption in zip(lefts, CAPTIONS, strict=True):
        draw.text((left, 10), caption, (40, 40, 40), font)
    top = CAPTION_PX
    for files, height in zip(rows, heights, strict=True):
        for left, file in zip(lefts, files, strict=True):
            sheet.paste(_draw_tile(file, height), (left, top))
        top += height + GAP_PX
    return sheet


def _draw_tile(file: bytes, height: int) -> Pillow.Image:
    with Pillow.open(io.BytesIO(file)) as opened:
        image = opened.convert("RGBA")
    shown = image.crop((0, 0, image.width, round(image.width * height / TILE_PX)))
    shown = shown.resize((TILE_PX, height), Pillow.Resampling.LANCZOS)
    tile = draw_chequerboard((TILE_PX, height), square=14)
    tile.paste(shown, (0, 0), shown)
    return tile
