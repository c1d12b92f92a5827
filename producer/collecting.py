"""What is left beside the cutouts: `summary.json` and a contact sheet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw, ImageOps

from producer.following import Batch

CELL_PX = 320
_MOST_COLUMNS = 4
_LIGHT, _DARK = (255, 255, 255), (204, 204, 204)


def summary(batch: Batch) -> dict[str, Any]:
    return {
        "requests": len(batch.requests),
        "ok": batch.count("ok"),
        "failed": batch.count("failed") + batch.count("expired"),
        "duplicates": batch.duplicates,
        "seconds": round(batch.seconds, 3),
        "images_per_second": round(batch.images_per_second, 2),
        "p50_ms": round(batch.latency_ms(0.50), 1),
        "p95_ms": round(batch.latency_ms(0.95), 1),
        "photos": [
            {
                "id": id,
                "source": batch.requests[id].image,
                "status": result.status,
                "objects": [obj.uri for obj in result.objects],
                **({"error": {"code": result.error.code, "message": result.error.message}} if result.error else {}),
            }
            for id, result in batch.results.items()
        ],
    }


def write_summary(batch: Batch, folder: Path) -> Path:
    path = folder / "summary.json"
    path.write_text(json.dumps(summary(batch), indent=2) + "\n")
    return path


def write_contact_sheet(batch: Batch, folder: Path, fetch: Callable[[str], bytes], limit: int = 24) -> Path | None:
    """Source and cutout side by side for up to `limit` photos; None when there is nothing to show."""
    pairs = [
        (batch.requests[id].image, result.objects[0].uri) for id, result in batch.results.items() if result.objects
    ][:limit]
    if not pairs:
        return None
    rows = -(-len(pairs) // _MOST_COLUMNS)
    columns = -(-len(pairs) // rows)
    sheet = Pillow.new("RGB", (columns * CELL_PX * 2, rows * CELL_PX), "white")
    for number, (source, cutout) in enumerate(pairs):
        left, top = (number % columns) * CELL_PX * 2, (number // columns) * CELL_PX
        sheet.paste(tile(fetch(source)), (left, top))
        sheet.paste(tile(fetch(cutout)), (left + CELL_PX, top))
    path = folder / "contact-sheet.jpg"
    sheet.save(path, quality=88)
    return path


def tile(data: bytes) -> Pillow.Image:
    """CELL_PX square, with the picture in its middle."""
    picture = shown(data)
    square = Pillow.new("RGB", (CELL_PX, CELL_PX), "white")
    square.paste(picture, ((CELL_PX - picture.width) // 2, (CELL_PX - picture.height) // 2))
    return square


def shown(data: bytes) -> Pillow.Image:
    """At most CELL_PX a side, on a chequerboard that shows through where the picture is transparent."""
    with Pillow.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", (CELL_PX, CELL_PX))
        picture = ImageOps.contain(ImageOps.exif_transpose(opened).convert("RGBA"), (CELL_PX - 8, CELL_PX - 8))
    board = chequerboard(picture.size)
    board.paste(picture, (0, 0), picture)
    return board


def chequerboard(size: tuple[int, int], square: int = 12) -> Pillow.Image:
    board = Pillow.new("RGB", size, _LIGHT)
    draw = ImageDraw.Draw(board)
    for top in range(0, size[1], square):
        for left in range((top // square % 2) * square, size[0], square * 2):
            draw.rectangle((left, top, left + square - 1, top + square - 1), fill=_DARK)
    return board
