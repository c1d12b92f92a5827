"""The pictures of docs/composing.md: what each option makes of real photos, asked of a real worker."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
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
from producer.collecting import CELL_PX, shown
from producer.demo import photos_folder
from producer.following import Batch, Submission

CAPTION_PX, GAP_PX, COLUMNS = 24, 8, 4
CAT, CUP, WOMAN, ROCKET = "chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"
GROUND, BRICKS = "gravel.png", "brick.png"


class NotDrawn(CutstreamError):
    """The stack answered a picture of the gallery with an error.

    The message has the result's code; docs/errors.md says what to do about it.
    """

    code = "not_drawn"


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet. `zoom`: the part that is shown, as shares of left, top, right, bottom."""

    caption: str
    photo: str
    output: str = "composite"
    fields: dict[str, Any] = field(default_factory=dict)
    zoom: tuple[float, float, float, float] = (0, 0, 1, 1)


HAIR = (0.28, 0.03, 0.5, 0.25)
STUDIO = {"gradient": {"colors": ["#f4f4f4", "#9aa0a8"]}}
CARD = {"color": "#e8e2d6"}
WITH_ROOM: dict[str, Any] = {"canvas": "900x675", "scale": "65%", "position": "50% 40%"}
WHOLE = {"edges": "soft", "keep_largest": True, "fill_holes": True}


def _on(photo: str, caption: str, background: dict[str, Any], **fields: Any) -> Tile:
    return Tile(caption, photo, fields={"background": background, **fields})


def _cast(light: Any) -> dict[str, Any]:
    return {"type": "cast", "light": light}


def _preset(name: str) -> Tile:
    return Tile(name, WOMAN, "cutout", {"refine": name}, HAIR)


def _edge(caption: str, **fields: Any) -> Tile:
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
        _on(CAT, "color", {"color": "#d8c3a5"}),
        _on(CAT, "gradient", {"gradient": {"colors": ["#fdfbfb", "#a1c4fd"]}}),
        _on(CAT, "gradient, radial", {"gradient": {"colors": ["#ffffff", "#c9b8a0"], "type": "radial"}}),
        _on(CAT, "blur 20", {"blur": 20}),
        _on(CAT, "image, cover", {"image": BRICKS}),
        _on(CAT, "image, contain", {"image": ROCKET, "fit": "contain", "color": "#223"}, canvas="600x600"),
        _on(CAT, "image, tile", {"image": BRICKS, "fit": "tile"}, canvas="900x600"),
        _on(CAT, "transparent", {"color": "transparent"}),
    ),
    "shadows": (
        _on(CUP, "drop", STUDIO, **WITH_ROOM, shadow="drop"),
        _on(CUP, "contact", STUDIO, **WITH_ROOM, shadow="contact"),
        _on(CUP, "cast", STUDIO, **WITH_ROOM, shadow="cast"),
        _on(CUP, "cast, light 45, length 0.8", STUDIO, **WITH_ROOM, shadow=_cast({"angle": 45, "length": 0.8})),
        _on(CUP, "cast, light auto", {"image": GROUND}, **WITH_ROOM, shadow=_cast("auto")),
        _on(CUP, "drop on nothing", {"color": "transparent"}, **WITH_ROOM, shadow="drop"),
        _on(WOMAN, "cast on a wall", STUDIO, **WITH_ROOM, refine=WHOLE, shadow=_cast({"angle": 200, "length": 1})),
        _on(ROCKET, "cast, low light", STUDIO, **WITH_ROOM, refine=WHOLE, shadow=_cast({"angle": 280, "length": 1.5})),
    ),
    "placement": (
        _on(CUP, "canvas 800x800", CARD, canvas="800x800"),
        _on(CUP, "canvas, scale 80%", CARD, canvas="800x800", scale="80%"),
        _on(CUP, "scale 40%, position 100%", CARD, canvas="800x800", scale="40%", position="100%"),
        _on(CUP, "scale 50%, position 0% 50%", CARD, scale="50%", position="0% 50%"),
        _on(CUP, "perspective", {"image": GROUND}, canvas="800x600", perspective={"baseline": "20% 70% 75% 90%"}),
        _on(
            CUP,
            "perspective, horizon 20%",
            {"image": GROUND},
            canvas="800x600",
            perspective={"baseline": "20% 70% 75% 90%", "horizon": "20%"},
        ),
    ),
    "harmonise": tuple(
        _on(WOMAN, caption, {"image": picture}, **fields)
        for picture in (ROCKET, CUP)
        for caption, fields in (
            ("as it is", {}),
            ("reinhard 0.5", {"harmonise": "reinhard"}),
            ("reinhard 1", {"harmonise": {"method": "reinhard", "strength": 1}}),
            ("histogram 0.5", {"harmonise": "histogram"}),
        )
    ),
    "edges": (
        _edge("refine linear", refine={"edges": "linear"}),
        _edge("refine soft"),
        _edge("soft, decontaminate", decontaminate=True),
        _edge("matting fast, decontaminate", matting="fast", decontaminate=True),
        _edge("closed_form, decontaminate", matting="closed_form", decontaminate=True),
        _edge("knn, decontaminate", matting="knn", decontaminate=True),
        _edge("refine base", refine="base"),
        _edge("refine base, feather 9", refine={"kernel": 3, "close": 1, "open": 1, "threshold": 127, "feather": 9}),
    ),
    "presets": tuple(
        _preset(name)
        for name in (
            "soft", "base", "smooth", "enhanced_edge", "aggressive", "expanded", "conservative", "fine", "alpha_matting"
        )
    ),
}  # fmt: skip


def draw_gallery(settings: Settings, out_folder: Path, check: Callable[[], None]) -> Iterator[Path]:
    """Writes a sheet each. Raises NotDrawn where a picture failed; `check` is called often, and may raise to stop."""
    with Submission(settings.kafka) as submission:
        for name, tiles in SHEETS.items():
            requests = [_request(f"{name}-{number}", tile) for number, tile in enumerate(tiles)]
            batch = submission.run(requests, watch=lambda batch: check())
            pictures = [_picture(batch, request.id or "", tile) for request, tile in zip(requests, tiles, strict=True)]
            yield _write(out_folder / f"{name}.jpg", pictures)


def _request(id: str, tile: Tile) -> Request:
    """Through the decoder, as every other request comes: a mistake in the table is a named error."""
    fields: dict[str, Any] = {"id": id, "image": _uri(tile.photo), "outputs": [tile.output], **tile.fields}
    background = fields.get("background")
    if background and "image" in background:
        fields["background"] = {**background, "image": _uri(background["image"])}
    return decode_request(msgspec.json.encode(fields))


def _uri(name: str) -> str:
    return (photos_folder() / name).as_uri()


def _picture(batch: Batch, id: str, wanted: Tile) -> Pillow.Image:
    result = batch.results[id]
    if result.error is not None:
        raise NotDrawn(f"{wanted.caption} of {wanted.photo}: {result.error.code}: {result.error.message}")
    picture = shown(_zoomed(result, wanted.zoom))
    framed = Pillow.new("RGB", (CELL_PX, picture.height + CAPTION_PX + GAP_PX), "white")
    framed.paste(picture, ((CELL_PX - picture.width) // 2, CAPTION_PX))
    ImageDraw.Draw(framed).text((4, 4), wanted.caption, "black", ImageFont.load_default(14))
    return framed


def _zoomed(result: Result, zoom: tuple[float, float, float, float]) -> bytes:
    data = Path(path_of(result.objects[0].uri)).read_bytes()
    if zoom == (0, 0, 1, 1):
        return data
    with Pillow.open(io.BytesIO(data)) as opened:
        sides = opened.size * 2
        part = opened.crop(tuple(round(share * side) for share, side in zip(zoom, sides, strict=True)))  # type: ignore[arg-type]
    larger = part.resize((part.width * 3, part.height * 3), Pillow.Resampling.NEAREST)
    larger.save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def _write(path: Path, pictures: Sequence[Pillow.Image]) -> Path:
    rows = [pictures[start : start + COLUMNS] for start in range(0, len(pictures), COLUMNS)]
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Pillow.new("RGB", (len(rows[0]) * CELL_PX, sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * CELL_PX, sum(heights[:number])))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=85)
    return path
