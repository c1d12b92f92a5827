"""Draw the results of candidates on a photo: a row of mask, cutout and green overlay for each."""

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
from evaluation.tuning.photos import Sample, read_photo_and_mask
from producer.collecting import draw_chequerboard

PANEL_PX, GAP_PX, HEAD_PX = 300, 10, 22
INK, FRAME = (40, 40, 40), (225, 225, 225)


def draw_sheet(sample: Sample, candidates: Mapping[str, RefineParameters]) -> Pillow.Image:
    """Draw the photo, and its true mask if it has one, above a row for each named candidate."""
    ops = CpuOps()
    pixels, truth = read_photo_and_mask(sample.photo)
    top_row = [_cell(pixels), *([] if truth is None else [_cell(truth)])]
    rows = {sample.photo.stem: top_row}
    for name, parameters in candidates.items():
        matte = refine(sample.matte, Image(pixels), refinement_of(parameters), ops)
        rows[name] = [_cell(matte), _cutout(pixels, matte), _cell(overlay(pixels, matte, ops))]
    return _arrange(rows)


def _cutout(pixels: Pixels, matte: Matte) -> Pillow.Image:
    subject = _cell(pixels)
    board = draw_chequerboard(subject.size)
    board.paste(subject, (0, 0), _cell(matte).convert("L"))
    return board


def _cell(pixels: Pixels | Matte) -> Pillow.Image:
    cell = Pillow.fromarray(pixels).convert("RGB")
    cell.thumbnail((PANEL_PX, PANEL_PX), Pillow.Resampling.LANCZOS)
    return cell


def _arrange(rows: Mapping[str, Sequence[Pillow.Image]]) -> Pillow.Image:
    width, height = next(iter(rows.values()))[0].size
    column_px, row_px = width + GAP_PX, HEAD_PX + height + GAP_PX
    columns = max(map(len, rows.values()))
    sheet = Pillow.new("RGB", (columns * column_px + GAP_PX, len(rows) * row_px + GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, cells) in enumerate(rows.items()):
        top = GAP_PX + row * row_px
        draw.text((GAP_PX, top), name, INK, ImageFont.load_default(14))
        for column, cell in enumerate(cells):
            left = GAP_PX + column * column_px
            sheet.paste(cell, (left, top + HEAD_PX))
            draw.rectangle((left - 1, top + HEAD_PX - 1, left + width, top + HEAD_PX + height), outline=FRAME)
    return sheet
