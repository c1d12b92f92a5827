"""Report scores overall, by subset, by attribute and by photo, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cutstream.contract.messages import ServedModel
from cutstream.quality.contour import BANDS
from cutstream.quality.scores import Scores, Summary, summarise
from evaluation.scoring.attributes import Attributes

NO_SUBSET = "(none)"
HEADINGS = ("n", "IoU ↑", "MAE ↓", "F.3 ↑", "edge ↑", "HD95 ↓", "HD bands", "sharp ↑", "ms ↓")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON document. `profile` and `model` are null if the mattes came from a folder (`predictions`)."""

    folder: str
    profile: str | None
    model: ServedModel | None
    predictions: str | None
    overall: Summary
    subsets: dict[str, Summary]
    attributes: dict[str, dict[str, Summary]]
    photos: dict[str, Scores]


def build_report(
    photos: dict[str, Scores],
    attributes: Attributes,
    *,
    folder: str,
    profile: str | None = None,
    model: ServedModel | None = None,
    predictions: str | None = None,
) -> Report:
    """Summarise the scores of at least one photo; `photos` is by stem."""
    return Report(
        folder=folder,
        profile=profile,
        model=model,
        predictions=predictions,
        overall=summarise(list(photos.values())),
        subsets=_grouped(photos, {stem: subset_of(stem) for stem in photos}),
        attributes={column: _grouped(photos, values) for column, values in attributes.items()},
        photos=photos,
    )


def subset_of(stem: str) -> str:
    """Return the part of the name before the first underscore: `cats_0175` belongs to `cats`."""
    prefix, underscore, _ = stem.partition("_")
    return prefix if underscore else NO_SUBSET


def to_json(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def build_tables(report: Report) -> Iterator[Table]:
    """Yield a table by subset and one for each attribute, 80 characters wide if the names are short enough."""
    yield _table("subset", report.subsets, report.overall)
    for column, groups in report.attributes.items():
        if groups:
            yield _table(column, groups)


def legend() -> str:
    """Explain the abbreviations in the tables."""
    bands = ", ".join(f"{word} to {limit:g}" if isfinite(limit) else f"then {word}" for word, limit in BANDS)
    return f"F.3: F for β² 0.3; edge: boundary F1; HD: Hausdorff distance, px at a long side of 1000; bands: {bands}."


def describe_parts(report: Report) -> str:
    """Say how many photos have ghosts, and how many have holes."""
    overall = report.overall
    return f"photos with ghosts: {overall.with_ghosts} of {overall.count}, with false holes: {overall.with_holes}"


def _grouped(photos: Mapping[str, Scores], values: Mapping[str, str]) -> dict[str, Summary]:
    groups: dict[str, list[Scores]] = {}
    for stem, value in values.items():
        groups.setdefault(value, []).append(photos[stem])
    return {value: summarise(groups[value]) for value in sorted(groups, key=_natural_order)}


def _natural_order(value: str) -> tuple[float, str]:
    """Sort 2 before 10, and numbers before words."""
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _table(name: str, groups: Mapping[str, Summary], overall: Summary | None = None) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(Text(name), overflow="fold")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    for value, group in groups.items():
        table.add_row(Text(value), *_cells(group))
    if overall is not None:
        table.add_section()
        table.add_row("all", *_cells(overall))
    return table


def _cells(group: Summary) -> Iterator[str]:
    yield str(group.count)
    for value in (group.iou, group.mae, group.f03, group.boundary_f1):
        yield f"{value:.3f}"
    yield f"{group.hausdorff95:.0f}"
    yield "/".join(map(str, group.hausdorff_bands.values()))
    yield "–" if group.sharpness is None else f"{group.sharpness:.2f}"
    yield "–" if group.time_ms is None else f"{group.time_ms:.0f}"
