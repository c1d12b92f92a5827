"""What to look at: each method's alpha where the true one is softest."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cutstream.arrays.ops import ArrayOps
from cutstream.images import Matte, Pixels

CROP_SHARE, PANEL_PX, GAP_PX, HEAD_PX = 0.3, 220, 10, 22
INK = (40, 40, 40)


def sheet(pixels: Pixels, truth: Matte, made: Mapping[tuple[str, str], Matte], ops: ArrayOps) -> Pillow.Image:
    """A line for each band, in it photo, truth and each method's alpha; `made` is by band and method."""
    crop = softest(truth, ops)
    lines: dict[str, list[tuple[str, Pixels | Matte]]] = {}
    for (band, method), alpha in made.items():
        line = lines.setdefault(band, [(f"photo: band {band}", pixels[crop]), ("truth", truth[crop])])
        line.append((method, alpha[crop]))
    wide, high = max(map(len, lines.values())), len(lines)
    size = (wide * (PANEL_PX + GAP_PX) + GAP_PX, high * (PANEL_PX + HEAD_PX + GAP_PX))
    picture = Pillow.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for row, line in enumerate(lines.values()):
        for column, (name, panel) in enumerate(line):
            left, top = GAP_PX + column * (PANEL_PX + GAP_PX), row * (PANEL_PX + HEAD_PX + GAP_PX)
            draw.text((left, top + 4), name, INK, font)
            shown = Pillow.fromarray(panel).convert("RGB").resize((PANEL_PX, PANEL_PX), Pillow.Resampling.BICUBIC)
            picture.paste(shown, (left, top + HEAD_PX))
    return picture


def softest(truth: Matte, ops: ArrayOps) -> tuple[slice, slice]:
    """The square, a third of the picture wide, that holds the most soft alpha."""
    side = max(1, round(CROP_SHARE * min(truth.shape)))
    odd = side | 1
    soft = ((truth > 0) & (truth < 255)).astype(np.float32)
    row, column = np.unravel_index(int(ops.box(soft, odd, odd).argmax()), truth.shape)
    top, left = (
        int(np.clip(at - side // 2, 0, whole - side)) for at, whole in zip((row, column), truth.shape, strict=True)
    )
    return slice(top, top + side), slice(left, left + side)
