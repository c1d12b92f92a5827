from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import parameters_of
from cutstream.matting import presets
from evaluation.tuning.measure import Figures, mean
from evaluation.tuning.report import BY_TRUTH, Report, as_json, in_short, ranked, table

PRESETS = {name: parameters_of(preset) for name, preset in presets.PRESETS.items()}
PLAIN = {"coverage": 0.2, "box_share": 0.4, "ms": 2.0, "edge_agreement": 0.7}


def figures(**given: float) -> Figures:
    return Figures(**{**PLAIN, **given})


def judged(iou: float, boundary_f1: float) -> Figures:
    return figures(iou=iou, boundary_f1=boundary_f1, mae=0.02)


def names(found: dict[str, Figures]) -> list[str]:
    return [candidate.name for candidate in ranked({PRESETS[name]: each for name, each in found.items()})]


def test_with_masks_overlap_ranks_and_of_equal_overlap_the_contour() -> None:
    assert names(
        {
            "soft": judged(0.9001, 0.60),
            "base": judged(0.9004, 0.59),
            "fine": judged(0.9001, 0.6004),  # no better than soft, which was tried first
            "smooth": judged(0.95, 0.1),
            "expanded": judged(0.5, 0.99),
        }
    ) == ["smooth", "soft", "fine", "base", "expanded"]


def test_without_masks_the_photos_edges_do() -> None:
    found = {"soft": figures(edge_agreement=0.6), "base": figures(edge_agreement=0.8)}
    assert names(found) == ["base", "soft"]


def test_means_are_over_photos_and_the_time_is_the_median() -> None:
    over = mean([judged(0.8, 0.5), judged(0.6, 0.7), figures(iou=0.1, boundary_f1=0.0, mae=0.02, ms=90.0)])
    assert (over.iou, over.boundary_f1, over.ms) == (pytest.approx(0.5), pytest.approx(0.4), 2.0)
    assert mean([figures(coverage=0.1), figures(coverage=0.3)]) == figures(coverage=pytest.approx(0.2))


@pytest.mark.parametrize(
    ("how", "name"),
    [
        (PRESETS["soft"], "soft"),
        (RefineParameters(edges="soft", threshold=150, keep_largest=True), "threshold=150 edges=soft keep_largest"),
        (RefineParameters(), "as it is"),
    ],
)
def test_candidates_are_called_by_what_they_do(how: RefineParameters, name: str) -> None:
    assert in_short(how) == name


@pytest.fixture
def report() -> Report:
    found = {how: judged(0.9 - 0.01 * place, 0.5) for place, how in enumerate(PRESETS.values())}
    found[RefineParameters(close=4)] = judged(0.95, 0.5)
    return Report(folder="photos", profile="fast", photos=3, masks=True, ranked_by=BY_TRUTH, candidates=ranked(found))


def test_the_document_gives_parameters_that_a_request_takes(report: Report) -> None:
    document = json.loads(as_json(report))
    assert document["candidates"][0] == {
        "name": "close=4",
        "parameters": {"close": 4},
        "figures": {**PLAIN, "iou": 0.95, "boundary_f1": 0.5, "mae": 0.02},
    }
    assert (document["masks"], document["photos"], len(document["candidates"])) == (True, 3, 10)


def test_the_table_has_the_best_and_every_preset(report: Report) -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(table(report, shown=2))
    printed = console.file.getvalue()
    assert all(name in printed for name in ("close=4", *PRESETS, "IoU ↑", "20.0", "0.950"))
    assert printed.index("close=4") < printed.index("soft")
