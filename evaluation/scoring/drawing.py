"""Draw a chart of time against IoU, and sheets of the worst cases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cutstream.images import Matte, Pixels
from cutstream.quality.scores import Scores
from evaluation.folder import read_example, read_matte
from evaluation.scoring.measure import Prediction
from evaluation.scoring.report import subset_of

PANEL_PX, GAP_PX, HEAD_PX = 360, 12, 64
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960, 600, 80, 180, 50, 70
DOT_PX = 5
INK, GRID = (40, 40, 40), (225, 225, 225)
TOO_MUCH, MISSING = (214, 39, 40), (31, 119, 180)
PALETTE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f")


class Point(NamedTuple):
    """A dot of the chart. Each group has its own colour."""

    group: str
    time_ms: float
    iou: float


def worst_stems(scores: Mapping[str, Scores], count: int) -> list[str]:
    """Return the stems with the lowest IoU, the lowest first."""
    return sorted(scores, key=lambda stem: (scores[stem].iou, stem))[:count]


def draw_case(prediction: Prediction, scores: Scores, note: str = "") -> Pillow.Image:
    """Draw photo, truth, matte and their difference side by side, under the stem, the IoU and a note."""
    pixels, truth = read_example(prediction.example)
    matte = read_matte(prediction.matte, pixels, prediction.example.path)
    panels = [
        ("photo", Pillow.fromarray(pixels)),
        ("truth", Pillow.fromarray(truth)),
        ("matte", Pillow.fromarray(matte)),
        ("difference: red too much, blue missing", Pillow.fromarray(draw_difference(pixels, truth, matte))),
    ]
    shrink = min(1.0, PANEL_PX / max(pixels.shape))
    width, height = (max(1, round(side * shrink)) for side in (pixels.shape[1], pixels.shape[0]))
    column = max(width, 260)
    sheet = Pillow.new("RGB", (4 * column + 5 * GAP_PX, height + HEAD_PX + GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, 8), f"{prediction.example.stem}   IoU {scores.iou:.3f}   {note}", INK, _font(20))
    for number, (name, panel) in enumerate(panels):
        left = GAP_PX + number * (column + GAP_PX)
        draw.text((left, HEAD_PX - 24), name, INK, _font(14))
        small = panel.convert("RGB").resize((width, height), Pillow.Resampling.LANCZOS)
        sheet.paste(small, (left, HEAD_PX))
        draw.rectangle((left - 1, HEAD_PX - 1, left + width, HEAD_PX + height), outline=GRID)
    return sheet


def draw_difference(pixels: Pixels, truth: Matte, matte: Matte) -> Pixels:
    """Paint where the matte is too high red and where it is too low blue, over the pale grey photo; u8 H×W×3.

    The stronger the colour, the larger the error.
    """
    grey = 160 + pixels.mean(axis=2, keepdims=True) * 0.35
    error = (matte.astype(np.float32) - truth)[..., None] / 255
    colour = np.where(error > 0, TOO_MUCH, MISSING)
    share = np.abs(error)
    painted: Pixels = (grey * (1 - share) + colour * share).astype(np.uint8)
    return painted


def scatter_points(scores: Mapping[str, Scores]) -> list[Point]:
    """Return a point for each photo that has a time, grouped by subset."""
    return [Point(subset_of(stem), s.time_ms, s.iou) for stem, s in scores.items() if s.time_ms is not None]


def draw_scatter(points: Sequence[Point], title: str) -> Pillow.Image | None:
    """Draw time against IoU; return None if there are no points."""
    if not points:
        return None
    chart = Pillow.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(chart, "RGBA")
    across = axis_ticks(0.0, max(time for _, time, _ in points))
    up = axis_ticks(min(iou for _, _, iou in points), 1.0)

    def place(time: float, iou: float) -> tuple[float, float]:
        x = LEFT + (time - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - (iou - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM)

    draw.text((LEFT, 10), title, INK, _font(18))
    for time in across:
        x, y = place(time, up[0])
        draw.line((x, TOP, x, y), GRID)
        draw.text((x, y + 8), f"{time:g}", INK, _font(14), anchor="mt")
    for iou in up:
        x, y = place(across[0], iou)
        draw.line((x, y, WIDTH - RIGHT, y), GRID)
        draw.text((x - 8, y), f"{iou:g}", INK, _font(14), anchor="rm")
    draw.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16), "time per photo, ms", INK, _font(15), anchor="mb")
    draw.text((LEFT - 8, TOP - 14), "IoU", INK, _font(15), anchor="rb")
    colours = dict(_colours(sorted({point.group for point in points})))
    for group, time, iou in points:
        x, y = place(time, iou)
        colour = colours[group]
        draw.ellipse((x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX), (*colour, 150), (*colour, 255))
    _legend(draw, colours)
    return chart


def axis_ticks(low: float, high: float) -> list[float]:
    """Return four to nine evenly spaced round numbers, the first at most `low` and the last at least `high`."""
    span = max(high - low, 1e-6)
    unit = 10 ** math.floor(math.log10(span / 4))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if span / (unit * factor) <= 6)
    first, last = math.floor(low / step + 1e-9), max(math.ceil(high / step - 1e-9), math.floor(low / step + 1e-9) + 1)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _colours(names: Sequence[str]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for number, name in enumerate(names):
        code = PALETTE[number % len(PALETTE)]
        yield name, (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16))


def _legend(draw: ImageDraw.ImageDraw, colours: Mapping[str, tuple[int, int, int]]) -> None:
    x = WIDTH - RIGHT + 24
    for number, (name, colour) in enumerate(colours.items()):
        y = TOP + 12 + number * 24
        draw.ellipse((x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX), (*colour, 255))
        draw.text((x + 14, y), name[:16], INK, _font(14), anchor="lm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
