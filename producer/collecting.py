"""Summarise a batch of results: `summary.json` and a contact sheet beside the cutouts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from cutstream.printable import printable
from producer.following import Batch

CELL_PX = 320
_MARGIN_PX = 4
_NAME_PX = 14
_MAX_PIXELS = 10**9  # the worker has accepted the photo
_MAX_COLUMNS = 4
_LIGHT, _DARK = (255, 255, 255), (204, 204, 204)


def summarise_batch(batch: Batch) -> dict[str, Any]:
    """Return the content of `summary.json`: counts, throughput, latencies, and one entry per photo."""
    return {
        "requests": len(batch.requests),
        "ok": batch.count("ok"),
        "failed": len(batch.results) - batch.count("ok"),
        "duplicates": batch.duplicates,
        "seconds": round(batch.duration_s, 3),
        "images_per_second": round(batch.images_per_second, 2),
        "p50_ms": round(batch.latency_ms(0.50), 1),
        "p95_ms": round(batch.latency_ms(0.95), 1),
        "photos": [
            {
                "id": id,
                "source": batch.requests[id].image,
                "status": result.status,
                "objects": [obj.uri for obj in result.objects],
                **({"warnings": [f"{w.code}: {w.message}" for w in result.warnings]} if result.warnings else {}),
                **({"error": {"code": result.error.code, "message": result.error.message}} if result.error else {}),
            }
            for id, result in batch.results.items()
        ],
    }


def write_summary(batch: Batch, folder: Path) -> Path:
    path = folder / "summary.json"
    path.write_text(json.dumps(summarise_batch(batch), indent=2) + "\n")
    return path


def write_contact_sheet(batch: Batch, folder: Path, fetch: Callable[[str], bytes], limit: int = 24) -> Path | None:
    """Draw photo and cutout side by side for up to `limit` photos; return None if no photo succeeded."""
    pairs = [
        (_name_of(source := batch.requests[id].image), partial(fetch, source), partial(fetch, result.objects[0].uri))
        for id, result in batch.results.items()
        if result.objects
    ]
    return draw_contact_sheet(pairs[:limit], folder / "contact-sheet.jpg")


def draw_contact_sheet(
    pairs: Sequence[tuple[str, Callable[[], bytes], Callable[[], bytes]]], path: Path
) -> Path | None:
    """Draw photo and cutout side by side, with the photo's name over them. Return the path, or None without pairs.

    A pair has a name and what reads the two files.
    """
    if not pairs:
        return None
    rows = -(-len(pairs) // _MAX_COLUMNS)
    columns = -(-len(pairs) // rows)
    sheet = Pillow.new("RGB", (columns * CELL_PX * 2, rows * CELL_PX), "white")
    for number, (name, read_photo, read_cutout) in enumerate(pairs):
        left, top = (number % columns) * CELL_PX * 2, (number // columns) * CELL_PX
        sheet.paste(_draw_cell(read_photo()), (left, top))
        sheet.paste(_draw_cell(read_cutout()), (left + CELL_PX, top))
        _write_name(sheet, name, left, top)
    sheet.save(path, "JPEG", quality=88)
    return path


def _name_of(source: str) -> str:
    return unquote(source.partition("?")[0].rpartition("/")[2])


def _write_name(sheet: Pillow.Image, name: str, left: int, top: int) -> None:
    """Write a name on a light strip at the top of a cell, shortened at its beginning: the end tells photos apart."""
    font, draw = _font(), ImageDraw.Draw(sheet)
    text = printable(name)
    while len(text) > 1 and draw.textlength(text, font) > 2 * CELL_PX - 4 * _MARGIN_PX:
        text = f"…{text[2:]}"
    height = _NAME_PX + 2 * _MARGIN_PX
    draw.rectangle((left, top, left + draw.textlength(text, font) + 2 * _MARGIN_PX, top + height), fill="white")
    draw.text((left + _MARGIN_PX, top + _MARGIN_PX), text, "black", font)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font of the system with letters beyond Latin ones, or Pillow's own."""
    for name in ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf"):
        try:
            return ImageFont.truetype(name, _NAME_PX)
        except OSError:
            pass  # it is not installed
    return ImageFont.load_default(_NAME_PX)


def draw_thumbnail(data: bytes) -> Pillow.Image:
    """Shrink an image file to at most CELL_PX a side, on a chequerboard that shows where it is transparent."""
    side = CELL_PX - 2 * _MARGIN_PX
    image = ImageOps.contain(_upright(data).convert("RGBA"), (side, side))
    board = draw_chequerboard(image.size)
    board.paste(image, (0, 0), image)
    return board


def _upright(data: bytes) -> Pillow.Image:
    try:
        with Pillow.open(io.BytesIO(data)) as opened:
            opened.draft("RGB", (CELL_PX, CELL_PX))
            return ImageOps.exif_transpose(opened)
    except UnidentifiedImageError:  # a format that only the worker's decoders read, such as HEIC
        from cutstream.images.decode import decode
        from cutstream.images.header import read_header

        return Pillow.fromarray(decode(data, read_header(data, _MAX_PIXELS)).pixels)


def draw_chequerboard(size: tuple[int, int], square: int = 12) -> Pillow.Image:
    board = Pillow.new("RGB", size, _LIGHT)
    draw = ImageDraw.Draw(board)
    for top in range(0, size[1], square):
        for left in range((top // square % 2) * square, size[0], square * 2):
            draw.rectangle((left, top, left + square - 1, top + square - 1), fill=_DARK)
    return board


def _draw_cell(data: bytes) -> Pillow.Image:
    """Draw the thumbnail in the middle of a square of CELL_PX."""
    thumbnail = draw_thumbnail(data)
    cell = Pillow.new("RGB", (CELL_PX, CELL_PX), "white")
    cell.paste(thumbnail, ((CELL_PX - thumbnail.width) // 2, (CELL_PX - thumbnail.height) // 2))
    return cell
