"""What candidates make of a photo, to look at: mask, cutout and green overlay, a row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cutstream.arrays.cpu import CpuOps
from cutstream.compositing.overlay import overlay
from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import refinement_of
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.refine import refine
from evaluation.tuning.photos import Sample, read
from producer.collecting import chequerboard

PANEL_PX, GAP_PX, HEAD_PX = 300, 10, 22
INK, FRAME = (40, 40, 40), (225, 225, 225)


def sheet(sample: Sample, shown: Mapping[str, RefineParameters]) -> Pillow.Image:
    """Above: the photo, with its true mask where there is one. Then each of `shown`, by the name given."""
    ops = CpuOps()
    pixels, truth = read(sample.photo)
    above = [_cell(pixels), *([] if truth is None else [_cell(truth)])]
    rows = {sample.photo.stem: above}
    for name, how in shown.items():
        matte = refine(sample.matte, Image(pixels), refinement_of(how), ops)
        rows[name] = [_cell(matte), _cutout(pixels, matte), _cell(overlay(pixels, matte, ops))]
    return _laid_out(rows)


def _cutout(pixels: Pixels, matte: Matte) -> Pillow.Image:
    subject = _cell(pixels)
    board = chequerboard(subject.size)
    board.paste(subject, (0, 0), _cell(matte).convert("L"))
    return board


def _cell(picture: Pixels | Matte) -> Pillow.Image:
    drawn = Pillow.fromarray(picture).convert("RGB")
    drawn.thumbnail((PANEL_PX, PANEL_PX), Pillow.Resampling.LANCZOS)
    return drawn


def _laid_out(rows: Mapping[str, Sequence[Pillow.Image]]) -> Pillow.Image:
    width, height = next(iter(rows.values()))[0].size
    column, row = width + GAP_PX, HEAD_PX + height + GAP_PX
    most = max(map(len, rows.values()))
    drawn = Pillow.new("RGB", (most * column + GAP_PX, len(rows) * row + GAP_PX), "white")
    draw = ImageDraw.Draw(drawn)
    for line, (name, cells) in enumerate(rows.items()):
        top = GAP_PX + line * row
        draw.text((GAP_PX, top), name, INK, ImageFont.load_default(14))
        for place, cell in enumerate(cells):
            left = GAP_PX + place * column
            drawn.paste(cell, (left, top + HEAD_PX))
            draw.rectangle((left - 1, top + HEAD_PX - 1, left + width, top + HEAD_PX + height), outline=FRAME)
    return drawn
