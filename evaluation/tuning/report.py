"""What tuning found: every candidate with its figures, the best first."""

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
from evaluation.tuning.search import Goodness

BY_TRUTH = "IoU, then boundary F1, to three digits"
BY_EDGES = "agreement with the photo's own edges: how well the contours lie, not whether they are the right ones"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A preset's name or the parameters in short; the parameters; their figures."""

    name: str
    parameters: RefineParameters
    figures: Figures


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON document; the candidates are ranked."""

    folder: str
    profile: str
    photos: int
    masks: bool
    ranked_by: str
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        return self.candidates[0]


def goodness(figures: Figures) -> Goodness:
    """More is better, to a thousandth: what differs by less is as good, and a variation of it is no improvement."""
    if figures.iou is None or figures.boundary_f1 is None:
        return (round(figures.edge_agreement, 3),)
    return (round(figures.iou, 3), round(figures.boundary_f1, 3))


def ranked(found: Mapping[RefineParameters, Figures]) -> tuple[Candidate, ...]:
    """Of equally good ones that which was tried first, so presets before their variations."""
    best_first = sorted(found, key=lambda how: goodness(found[how]), reverse=True)  # stable, reversed too
    return tuple(Candidate(name=in_short(how), parameters=how, figures=found[how]) for how in best_first)


def in_short(how: RefineParameters) -> str:
    """`base`, or what differs from doing nothing, such as `threshold=140 edges=soft keep_largest`."""
    names = {parameters_of(preset): name for name, preset in PRESETS.items()}
    given = msgspec.to_builtins(how)
    words = (name if value is True else f"{name}={value}" for name, value in given.items())
    return names.get(how) or " ".join(words) or "as it is"


def as_json(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def table(report: Report, shown: int = 25) -> Table:
    """The best `shown`, and every preset."""
    made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("", justify="right")
    made.add_column("candidate", overflow="fold")
    for heading in (
        "coverage %",
        "box %",
        "ms",
        *(("IoU ↑", "edge ↑", "MAE ↓") if report.masks else ()),
        "along edges",
    ):
        made.add_column(heading, justify="right", no_wrap=True)
    for place, candidate in enumerate(report.candidates, 1):
        if place <= shown or candidate.name in PRESETS:
            made.add_row(str(place), Text(candidate.name), *_cells(candidate.figures))
    return made


def _cells(figures: Figures) -> Sequence[str]:
    against = [f"{value:.3f}" for value in (figures.iou, figures.boundary_f1, figures.mae) if value is not None]
    shares = [f"{100 * share:.1f}" for share in (figures.coverage, figures.box_share)]
    return (*shares, f"{figures.ms:.1f}", *against, f"{figures.edge_agreement:.3f}")
