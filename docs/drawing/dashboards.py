"""Draw a dashboard's JSON with what Prometheus answered to its queries, for docs/watching.md.

It is no Grafana: it knows the panels that deploy/monitoring/ makes, their places, units, colours and legends.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from docs.drawing.units import show

_COLUMN_IN, _ROW_IN, _DPI = 0.6, 0.36, 100
_HEAD_IN, _GAP_IN = 0.75, 0.06
_COLOURS = (
    "#4c9a57",
    "#d9a514",
    "#3f7fd0",
    "#dd7426",
    "#c8372d",
    "#8a63c7",
    "#2aa2a8",
    "#b0578d",
    "#7d8590",
    "#98a83a",
)
_STEPS = {"green": "#3a8a49", "orange": "#d97a1a", "red": "#c8372d"}
_PALETTE, _LEAST_BARS = 256, 5
_LEGEND_LINES, _CHARACTERS_PER_IN = 3, 15.5


class Answer(Protocol):
    """A series: its labels, times in seconds, and values."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def times(self) -> Sequence[float]: ...
    @property
    def values(self) -> Sequence[float]: ...


Answers = Mapping[tuple[int, str], Sequence[Answer]]
Line = tuple[str, Sequence[float], Sequence[float]]


def draw(dashboard: Mapping[str, Any], answers: Answers, folder: str | Path) -> Path:
    """Draw a dashboard into `folder` and return the file. `answers` are by panel id and the query's refId."""
    path = Path(folder) / f"{dashboard['uid'].replace('cutstream', 'watching')}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    drawing(dashboard, answers).savefig(buffer)
    Image.open(buffer).convert("RGB").quantize(_PALETTE).save(path, optimize=True)
    return path


def drawing(dashboard: Mapping[str, Any], answers: Answers) -> Figure:
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * _COLUMN_IN, rows * _ROW_IN + _HEAD_IN
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="#f4f5f5")
    figure.text(0.012, 1 - 0.26 / height, dashboard["title"], size=14, weight="bold", color="#24292e", va="center")
    figure.text(0.012, 1 - 0.54 / height, dashboard["description"], size=10, color="#57606a", va="center")
    start_s = min((found.times[0] for all in answers.values() for found in all), default=0.0)
    for panel in panels:
        place = panel["gridPos"]
        box = (
            place["x"] * _COLUMN_IN + _GAP_IN,
            height - _HEAD_IN - (place["y"] + place["h"]) * _ROW_IN + _GAP_IN,
            place["w"] * _COLUMN_IN - 2 * _GAP_IN,
            place["h"] * _ROW_IN - 2 * _GAP_IN,
        )
        _draw_panel(figure, panel, _lines(panel, answers, start_s), box)
    return figure


def _lines(panel: Mapping[str, Any], answers: Answers, start_s: float) -> list[Line]:
    """Return a panel's series with their legends and times since the start."""
    lines: list[Line] = []
    for target in panel["targets"]:
        for found in answers.get((panel["id"], target["refId"]), ()):
            form = target.get("legendFormat") or panel["title"]
            lines.append((_name(form, found.labels) or "none", [at - start_s for at in found.times], found.values))
    return sorted(lines, key=lambda line: line[0])


def _name(form: str, labels: Mapping[str, str]) -> str:
    """Return a legend such as `{{stage}}` with the values of the labels. One that is missing is empty."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), form)


def _draw_panel(
    figure: Figure, panel: Mapping[str, Any], lines: Sequence[Line], box: tuple[float, float, float, float]
) -> None:
    """Draw one panel into a box in inches: left, bottom, width, height."""
    left, bottom, width, height = box
    total_width, total_height = figure.get_size_inches()
    frame = FancyBboxPatch(
        (left / total_width, bottom / total_height),
        width / total_width,
        height / total_height,
        boxstyle="round,pad=0,rounding_size=0.002",
        facecolor="white",
        edgecolor="#d0d7de",
        transform=figure.transFigure,
        zorder=-1,  # behind the axes
    )
    figure.add_artist(frame)
    title_at = (left + 0.1) / total_width, (bottom + height - 0.17) / total_height
    figure.text(*title_at, panel["title"], size=9, color="#24292e", va="center")

    def axes(x: float, y: float, w: float, h: float) -> Axes:
        return figure.add_axes(
            ((left + x) / total_width, (bottom + y) / total_height, w / total_width, h / total_height)
        )

    defaults = panel["fieldConfig"]["defaults"]
    if not lines:
        at = (left + width / 2) / total_width, (bottom + height / 2) / total_height
        figure.text(*at, defaults.get("noValue", "No data"), size=11, color="#8b949e", ha="center", va="center")
    elif panel["type"] == "stat":
        _draw_number(axes(0.08, 0.08, width - 0.16, height - 0.4), defaults, lines)
    elif panel["type"] == "bargauge":
        _draw_bars(axes(0.1, 0.12, width - 0.2, height - 0.45), defaults, lines)
    else:
        legend = _legend([name for name, _, _ in lines], width - 0.25)
        low = 0.36 + 0.16 * len(legend)
        _draw_graph(axes(0.72, low, width - 0.95, height - low - 0.36), panel, lines)
        for number, line in enumerate(legend):
            _draw_legend(figure, line, left + 0.12, bottom + 0.1 + 0.16 * (len(legend) - 1 - number))


def _draw_number(axes: Axes, defaults: Mapping[str, Any], lines: Sequence[Line]) -> None:
    _, times, values = lines[0]
    colour = _colour(values[-1], defaults)
    axes.plot(times, values, color=colour, linewidth=1, alpha=0.5)
    axes.fill_between(times, values, color=colour, alpha=0.12)
    axes.set_ylim(0, (max(values) or 1) * 2.2)
    axes.axis("off")
    text = show(values[-1], defaults["unit"], defaults.get("decimals"))
    axes.text(0.5, 0.62, text, size=20, weight="bold", color=colour, ha="center", va="center", transform=axes.transAxes)


def _draw_bars(axes: Axes, defaults: Mapping[str, Any], lines: Sequence[Line]) -> None:
    """Draw one bar for each series, its name above it and its last value at the right."""
    top = max(values[-1] for _, _, values in lines) or 1
    axes.set_xlim(0, top * 1.25)
    axes.set_ylim(max(_LEAST_BARS, len(lines)), 0)
    axes.axis("off")
    for row, (name, _, values) in enumerate(lines):
        colour = _colour(values[-1], defaults)
        axes.barh(row + 0.72, top, height=0.32, color="#eef1f4")
        axes.barh(row + 0.72, values[-1], height=0.32, color=colour, alpha=0.75)
        axes.text(0, row + 0.3, name, size=8, color="#24292e", va="center")
        text = show(values[-1], defaults["unit"], defaults.get("decimals"))
        axes.text(top * 1.25, row + 0.72, text, size=9, weight="bold", color=colour, ha="right", va="center")


def _draw_graph(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Line]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["custom"].get("stacking", {}).get("mode") == "normal":
        _stack(axes, lines)
    else:
        for number, (_, times, values) in enumerate(lines):
            axes.plot(*_with_gaps(times, values), color=_COLOURS[number % len(_COLOURS)], linewidth=1.2)
    highest = axes.dataLim.y1 if lines else 0.0
    top = max(highest * 1.05 if highest > 0 else 1.0, defaults.get("max", 0))
    for step in defaults.get("thresholds", {}).get("steps", ())[1:]:
        if step["value"] <= top:
            axes.axhline(step["value"], color=_STEPS[step["color"]], linewidth=1, linestyle="--")
    axes.set_ylim(0, top * 1.03)
    axes.set_yticks(_ticks(top, defaults["unit"], whole=defaults.get("decimals") == 0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value, defaults["unit"])))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
    axes.tick_params(labelsize=7.5, colors="#57606a", length=0)
    axes.grid(color="#e6e9ec", linewidth=0.6)
    axes.margins(x=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _ticks(top: float, unit: str, whole: bool) -> Sequence[float]:
    """Return round places up to `top`: round in the unit that they are written in."""
    factor = 1024.0 ** int(math.log(top, 1024)) if unit in ("bytes", "Bps") and top >= 1024 else 1.0
    places: Sequence[float] = MaxNLocator(4, integer=whole).tick_values(0, top / factor)
    return [place * factor for place in places if 0 <= place * factor <= top * 1.03]


def _with_gaps(times: Sequence[float], values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Return a line that is broken where points are missing, as Grafana breaks it."""
    if len(times) < 2:
        return times, values
    steps = np.diff(times)
    gaps = np.flatnonzero(steps > 1.5 * steps.min()) + 1
    return np.insert(times, gaps, np.nan), np.insert(values, gaps, np.nan)  # type: ignore[return-value]


def _stack(axes: Axes, lines: Sequence[Line]) -> None:
    times = sorted({at for _, times, _ in lines for at in times})
    rows = []
    for _, own, values in lines:
        known = dict(zip(own, values, strict=True))
        rows.append([known.get(at, 0.0) for at in times])
    axes.stackplot(times, rows, colors=[_COLOURS[n % len(_COLOURS)] for n in range(len(rows))], alpha=0.55)


def _colour(value: float, defaults: Mapping[str, Any]) -> str:
    """Return the colour of the last threshold that the value has reached."""
    steps = defaults["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return _STEPS[reached[-1]]


def _legend(names: Sequence[str], width_in: float) -> list[list[tuple[int, str]]]:
    """Return the legend's lines: names with the numbers of their series. What has no room is counted at the end."""
    room = int(width_in * _CHARACTERS_PER_IN)
    lines: list[list[tuple[int, str]]] = [[]]
    for number, name in enumerate(names):
        name = textwrap.shorten(name, room - 4, placeholder="…") if len(name) > room - 4 else name
        used = sum(len(each) + 4 for _, each in lines[-1])
        if lines[-1] and used + len(name) + 4 > room - (10 if len(lines) == _LEGEND_LINES else 0):
            if len(lines) == _LEGEND_LINES:
                lines[-1].append((-1, f"+ {len(names) - number} more"))
                break
            lines.append([])
        lines[-1].append((number, name))
    return lines


def _draw_legend(figure: Figure, line: Sequence[tuple[int, str]], left_in: float, bottom_in: float) -> None:
    width, height = figure.get_size_inches()
    for number, name in line:
        if number >= 0:
            colour = _COLOURS[number % len(_COLOURS)]
            figure.text(left_in / width, bottom_in / height, "—", size=9, weight="bold", color=colour, va="center")
        figure.text((left_in + 0.17) / width, bottom_in / height, name, size=7.5, color="#57606a", va="center")
        left_in += (len(name) + 4) / _CHARACTERS_PER_IN
