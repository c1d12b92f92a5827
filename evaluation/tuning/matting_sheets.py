"""Draw the alpha of each matting method side by side, where the true alpha is softest."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte, Pixels

CROP_SHARE, PANEL_PX, GAP_PX, HEAD_PX = 0.3, 220, 10, 22
INK = (40, 40, 40)


def draw_methods(pixels: Pixels, truth: Matte, alphas: Mapping[tuple[str, str], Matte], ops: ArrayOps) -> Pillow.Image:
    """Draw a row for each band: photo, truth, and the alpha of each method. `alphas` is by band and method."""
    crop = softest_square(truth, ops)
    lines: dict[str, list[tuple[str, Pixels | Matte]]] = {}
    for (band, method), alpha in alphas.items():
        line = lines.setdefault(band, [(f"photo: band {band}", pixels[crop]), ("truth", truth[crop])])
        line.append((method, alpha[crop]))
    wide, high = max(map(len, lines.values())), len(lines)
    size = (wide * (PANEL_PX + GAP_PX) + GAP_PX, high * (PANEL_PX + HEAD_PX + GAP_PX))
    sheet = Pillow.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, line in enumerate(lines.values()):
        for column, (name, panel) in enumerate(line):
            left, top = GAP_PX + column * (PANEL_PX + GAP_PX), row * (PANEL_PX + HEAD_PX + GAP_PX)
            draw.text((left, top + 4), name, INK, font)
            enlarged = Pillow.fromarray(panel).convert("RGB").resize((PANEL_PX, PANEL_PX), Pillow.Resampling.BICUBIC)
            sheet.paste(enlarged, (left, top + HEAD_PX))
    return sheet


def softest_square(truth: Matte, ops: ArrayOps) -> tuple[slice, slice]:
    """Return the square with the most soft alpha; its side is 0.3 of the shorter side."""
    side = max(1, round(CROP_SHARE * min(truth.shape)))
    odd = side | 1
    soft = ((truth > 0) & (truth < 255)).astype(np.float32)
    row, column = np.unravel_index(int(ops.box(soft, odd, odd).argmax()), truth.shape)
    top, left = (
        int(np.clip(centre - side // 2, 0, length - side))
        for centre, length in zip((row, column), truth.shape, strict=True)
    )
    return slice(top, top + side), slice(left, left + side)
