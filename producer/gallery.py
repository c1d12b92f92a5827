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

from cutstream.clients.files import path_of
from cutstream.errors import CutstreamError
from cutstream.messages import Request, Result, decode_request
from cutstream.settings import Settings
from producer.batch import Batch, Submission
from producer.demo import photos_folder
from producer.report import tile

CAPTION_PX, COLUMNS = 24, 4
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


EAR = (0.22, 0.02, 0.52, 0.35)
STUDIO = {"colors": ["#f4f4f4", "#9aa0a8"]}
ON_GROUND = {"image": GROUND, "fit": "cover"}


def _on(photo: str, caption: str, background: dict[str, Any], **fields: Any) -> Tile:
    return Tile(caption, photo, fields={"background": background, **fields})


def _preset(name: str) -> Tile:
    return Tile(name, CAT, "cutout", {"refine": name}, EAR)


def _edge(caption: str, **fields: Any) -> Tile:
    return Tile(caption, CAT, fields={"background": {"color": "#00b140"}, **fields}, zoom=EAR)


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
        _on(CAT, "image, contain", {"image": ROCKET, "fit": "contain", "color": "#223"}),
        _on(CAT, "image, tile", {"image": BRICKS, "fit": "tile"}, canvas="900x600"),
        _on(CAT, "transparent", {"color": "transparent"}),
    ),
    "shadows": (
        _on(CUP, "drop", {"gradient": STUDIO}, shadow="drop"),
        _on(CUP, "contact", {"gradient": STUDIO}, shadow="contact"),
        _on(CUP, "cast", {"gradient": STUDIO}, shadow="cast"),
        _on(CUP, "cast, light 45", {"gradient": STUDIO}, shadow={"type": "cast", "light": {"angle": 45}}),
        _on(CUP, "cast, light auto", ON_GROUND, shadow={"type": "cast", "light": "auto"}),
        _on(CUP, "drop on nothing", {"color": "transparent"}, shadow="drop"),
        _on(ROCKET, "cast, low light", {"gradient": STUDIO}, shadow={"type": "cast", "light": {"length": 1.0}}),
        _on(ROCKET, "contact, soft", {"gradient": STUDIO}, shadow={"type": "contact", "softness": 20}),
    ),
    "placement": (
        Tile("canvas 800x800", CUP, fields={"canvas": "800x800"}),
        Tile("canvas, scale 80%", CUP, fields={"canvas": "800x800", "scale": "80%"}),
        Tile("scale 40%, position 100%", CUP, fields={"canvas": "800x800", "scale": "40%", "position": "100%"}),
        Tile("scale 50%, position 0% 50%", CUP, fields={"scale": "50%", "position": "0% 50%"}),
        _on(CUP, "perspective", ON_GROUND, canvas="800x600", perspective={"baseline": "20% 70% 75% 90%"}),
        _on(
            CUP,
            "perspective, horizon 20%",
            ON_GROUND,
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
    square = tile(_zoomed(result, wanted.zoom))
    framed = Pillow.new("RGB", (square.width, square.height + CAPTION_PX), "white")
    framed.paste(square, (0, CAPTION_PX))
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
    columns = min(COLUMNS, len(pictures))
    width, height = pictures[0].size
    sheet = Pillow.new("RGB", (columns * width, -(-len(pictures) // columns) * height), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=85)
    return path
