"""Draw the sample pictures of docs/composing.md: real photos, cut out by a real worker with each option."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cutstream.clients.objects.files import path_of
from cutstream.contract.messages import Request, Result, decode_request
from cutstream.errors import CutstreamError
from cutstream.settings import Settings
from producer.collecting import CELL_PX, draw_thumbnail
from producer.demo import sample_photos_folder
from producer.following import Batch, RequestFollower

CAPTION_PX, GAP_PX, COLUMNS = 24, 8, 4
CAT, CUP, WOMAN, ROCKET = "chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"
GROUND, BRICKS = "gravel.png", "brick.png"


class NotDrawn(CutstreamError):
    """The stack answered a request of the gallery with an error.

    The message has the result's code; docs/errors.md says what to do about it.
    """

    code = "not_drawn"


@dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    `zoom` is the part of the output that is shown: left, top, right and bottom as shares of its sides.
    """

    caption: str
    photo: str
    output: str = "composite"
    fields: dict[str, Any] = field(default_factory=dict)
    zoom: tuple[float, float, float, float] = (0, 0, 1, 1)


HAIR = (0.28, 0.03, 0.5, 0.25)
STUDIO = {"gradient": {"colors": ["#f4f4f4", "#9aa0a8"]}}
CARD = {"color": "#e8e2d6"}
ROOMY: dict[str, Any] = {"canvas": "900x675", "scale": "65%", "position": "50% 40%"}
WHOLE = {"edges": "soft", "keep_largest": True, "fill_holes": True}


def _scene(photo: str, caption: str, background: dict[str, Any], **fields: Any) -> Tile:
    return Tile(caption, photo, fields={"background": background, **fields})


def _cast(light: Any) -> dict[str, Any]:
    return {"type": "cast", "light": light}


def _preset(name: str) -> Tile:
    return Tile(name, WOMAN, "cutout", {"refine": name}, HAIR)


def _edges(caption: str, **fields: Any) -> Tile:
    return Tile(caption, WOMAN, fields={"background": {"color": "#00b140"}, **fields}, zoom=HAIR)


SHEETS: dict[str, Sequence[Tile]] = {
    "outputs": (
        Tile("cutout", CUP, "cutout"),
        Tile("mask", CUP, "mask"),
        Tile("composite", CUP),
        Tile("overlay", CUP, "overlay"),
        Tile("background", CUP, "background"),
        Tile("background, navier_stokes", CUP, "background", {"inpaint": "navier_stokes"}),
        Tile("cutout, crop 5%", CUP, "cutout", {"crop": True, "crop_margin": "5%"}),
        Tile("cutout, alpha", CUP, "cutout", {"channels": "alpha"}),
    ),
    "backgrounds": (
        _scene(CAT, "color", {"color": "#d8c3a5"}),
        _scene(CAT, "gradient", {"gradient": {"colors": ["#fdfbfb", "#a1c4fd"]}}),
        _scene(CAT, "gradient, radial", {"gradient": {"colors": ["#ffffff", "#c9b8a0"], "type": "radial"}}),
        _scene(CAT, "blur 20", {"blur": 20}),
        _scene(CAT, "image, cover", {"image": BRICKS}),
        _scene(CAT, "image, contain", {"image": ROCKET, "fit": "contain", "color": "#223"}, canvas="600x600"),
        _scene(CAT, "image, tile", {"image": BRICKS, "fit": "tile"}, canvas="900x600"),
        _scene(CAT, "transparent", {"color": "transparent"}),
    ),
    "shadows": (
        _scene(CUP, "drop", STUDIO, **ROOMY, shadow="drop"),
        _scene(CUP, "contact", STUDIO, **ROOMY, shadow="contact"),
        _scene(CUP, "cast", STUDIO, **ROOMY, shadow="cast"),
        _scene(CUP, "cast, light 45, length 0.8", STUDIO, **ROOMY, shadow=_cast({"angle": 45, "length": 0.8})),
        _scene(CUP, "cast, light auto", {"image": GROUND}, **ROOMY, shadow=_cast("auto")),
        _scene(CUP, "drop on nothing", {"color": "transparent"}, **ROOMY, shadow="drop"),
        _scene(WOMAN, "cast on a wall", STUDIO, **ROOMY, refine=WHOLE, shadow=_cast({"angle": 200, "length": 1})),
        _scene(ROCKET, "cast, low light", STUDIO, **ROOMY, refine=WHOLE, shadow=_cast({"angle": 280, "length": 1.5})),
    ),
    "placement": (
        _scene(CUP, "canvas 800x800", CARD, canvas="800x800"),
        _scene(CUP, "canvas, scale 80%", CARD, canvas="800x800", scale="80%"),
        _scene(CUP, "scale 40%, position 100%", CARD, canvas="800x800", scale="40%", position="100%"),
        _scene(CUP, "scale 50%, position 0% 50%", CARD, scale="50%", position="0% 50%"),
        _scene(CUP, "perspective", {"image": GROUND}, canvas="800x600", perspective={"baseline": "20% 70% 75% 90%"}),
        _scene(
            CUP,
            "perspective, horizon 20%",
            {"image": GROUND},
            canvas="800x600",
            perspective={"baseline": "20% 70% 75% 90%", "horizon": "20%"},
        ),
    ),
    "harmonise": tuple(
        _scene(WOMAN, caption, {"image": background}, **fields)
        for background in (ROCKET, CUP)
        for caption, fields in (
            ("as it is", {}),
            ("reinhard 0.5", {"harmonise": "reinhard"}),
            ("reinhard 1", {"harmonise": {"method": "reinhard", "strength": 1}}),
            ("histogram 0.5", {"harmonise": "histogram"}),
        )
    ),
    "edges": (
        _edges("refine linear", refine={"edges": "linear"}),
        _edges("refine soft"),
        _edges("soft, decontaminate", decontaminate=True),
        _edges("matting fast, decontaminate", matting="fast", decontaminate=True),
        _edges("closed_form, decontaminate", matting="closed_form", decontaminate=True),
        _edges("knn, decontaminate", matting="knn", decontaminate=True),
        _edges("refine base", refine="base"),
        _edges("refine base, feather 9", refine={"kernel": 3, "close": 1, "open": 1, "threshold": 127, "feather": 9}),
    ),
    "presets": tuple(
        _preset(name)
        for name in (
            "soft", "base", "smooth", "enhanced_edge", "aggressive", "expanded", "conservative", "fine", "alpha_matting"
        )
    ),
}  # fmt: skip


def draw_gallery(settings: Settings, out_folder: Path, check_stack: Callable[[], None]) -> Iterator[Path]:
    """Write the sheets and yield their paths.

    `check_stack` is called while results are awaited and raises if the stack has died. Raises NotDrawn if a request
    fails.
    """
    with RequestFollower(settings.kafka) as follower:
        for name, tiles in SHEETS.items():
            requests = [
                sample_request(f"{name}-{number}", tile.photo, {"outputs": [tile.output], **tile.fields})
                for number, tile in enumerate(tiles)
            ]
            batch = follower.follow(requests, on_progress=lambda batch: check_stack())
            images = [_draw_tile(batch, request.id or "", tile) for request, tile in zip(requests, tiles, strict=True)]
            yield _write_sheet(out_folder / f"{name}.jpg", images)


def sample_request(id: str, photo: str, fields: Mapping[str, Any]) -> Request:
    """Build a request for a sample photo by decoding JSON, so that a mistake in a table is a named error.

    A background image is the name of a sample photo, too.
    """
    background = fields.get("background", {})
    if "image" in background:
        fields = {**fields, "background": {**background, "image": _uri(background["image"])}}
    return decode_request(msgspec.json.encode({"id": id, "image": _uri(photo), **fields}))


def _uri(name: str) -> str:
    return (sample_photos_folder() / name).as_uri()


def _draw_tile(batch: Batch, id: str, tile: Tile) -> Pillow.Image:
    """Draw the output of a request under its caption."""
    result = batch.results[id]
    if result.error is not None:
        raise NotDrawn(f"{tile.caption} of {tile.photo}: {result.error.code}: {result.error.message}")
    thumbnail = draw_thumbnail(_read_part(result, tile.zoom))
    framed = Pillow.new("RGB", (CELL_PX, thumbnail.height + CAPTION_PX + GAP_PX), "white")
    framed.paste(thumbnail, ((CELL_PX - thumbnail.width) // 2, CAPTION_PX))
    ImageDraw.Draw(framed).text((4, 4), tile.caption, "black", ImageFont.load_default(14))
    return framed


def _read_part(result: Result, zoom: tuple[float, float, float, float]) -> bytes:
    """Read the part of the first output that `zoom` names, enlarged if it is not the whole."""
    data = Path(path_of(result.objects[0].uri)).read_bytes()
    if zoom == (0, 0, 1, 1):
        return data
    with Pillow.open(io.BytesIO(data)) as opened:
        sides = opened.size * 2
        part = opened.crop(tuple(round(share * side) for share, side in zip(zoom, sides, strict=True)))  # type: ignore[arg-type]
    larger = part.resize((part.width * 3, part.height * 3), Pillow.Resampling.NEAREST)
    larger.save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def _write_sheet(path: Path, images: Sequence[Pillow.Image]) -> Path:
    rows = [images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)]
    heights = [max(image.height for image in row) for row in rows]
    sheet = Pillow.new("RGB", (len(rows[0]) * CELL_PX, sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, image in enumerate(row):
            sheet.paste(image, (column * CELL_PX, sum(heights[:number])))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=85)
    return path
