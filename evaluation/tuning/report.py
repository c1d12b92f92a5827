"""Report the result of tuning: every candidate with its figures, the best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import parameters_of
from cutstream.matting.presets import PRESETS
from evaluation.tuning.measure import Figures
from evaluation.tuning.search import RankKey

RANKED_BY_MASKS = "IoU, then boundary F1, to three digits"
RANKED_BY_EDGES = (
    "agreement with the photo's own edges: how well the contours fit them, not whether they are the right ones"
)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's name (a preset's, or its parameters in short), its parameters and its figures."""

    name: str
    parameters: RefineParameters
    figures: Figures


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON document. The best candidate comes first."""

    folder: str
    profile: str
    photos: int
    masks: bool
    ranked_by: str
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        return self.candidates[0]


def rank_key(figures: Figures) -> RankKey:
    """Return what candidates are ranked by; more is better.

    Values are rounded to a thousandth: a variation that gains less than that is no improvement.
    """
    if figures.iou is None or figures.boundary_f1 is None:
        return (round(figures.edge_agreement, 3),)
    return (round(figures.iou, 3), round(figures.boundary_f1, 3))


def rank_candidates(results: Mapping[RefineParameters, Figures]) -> tuple[Candidate, ...]:
    """Sort by rank. Equally good candidates keep the order in which they were tried, so presets come first."""
    best_first = sorted(
        results, key=lambda parameters: rank_key(results[parameters]), reverse=True
    )  # stable, reversed too
    return tuple(
        Candidate(name=short_name(parameters), parameters=parameters, figures=results[parameters])
        for parameters in best_first
    )


def short_name(parameters: RefineParameters) -> str:
    """Return the preset's name, or the parameters that differ from the defaults: `threshold=140 edges=soft`."""
    names = {parameters_of(preset): name for name, preset in PRESETS.items()}
    changed = msgspec.to_builtins(parameters)
    words = (name if value is True else f"{name}={value}" for name, value in changed.items())
    return names.get(parameters) or " ".join(words) or "as it is"


def to_json(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def build_table(report: Report, limit: int = 25) -> Table:
    """List the best `limit` candidates and every preset."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", justify="right")
    table.add_column("candidate", overflow="fold")
    for heading in (
        "coverage %",
        "box %",
        "ms",
        *(("IoU ↑", "edge ↑", "MAE ↓") if report.masks else ()),
        "along edges",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for rank, candidate in enumerate(report.candidates, 1):
        if rank <= limit or candidate.name in PRESETS:
            table.add_row(str(rank), Text(candidate.name), *_cells(candidate.figures))
    return table


def _cells(figures: Figures) -> Sequence[str]:
    with_mask = [f"{value:.3f}" for value in (figures.iou, figures.boundary_f1, figures.mae) if value is not None]
    shares = [f"{100 * share:.1f}" for share in (figures.coverage, figures.box_share)]
    return (*shares, f"{figures.ms:.1f}", *with_mask, f"{figures.edge_agreement:.3f}")
