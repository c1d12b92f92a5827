from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from cutstream.contract.options import RefineParameters
from cutstream.contract.recipe import parameters_of
from cutstream.matting import presets
from evaluation.tuning.measure import Figures, average
from evaluation.tuning.report import RANKED_BY_MASKS, Report, build_table, rank_candidates, short_name, to_json

PRESETS = {name: parameters_of(preset) for name, preset in presets.PRESETS.items()}
PLAIN = {"coverage": 0.2, "box_share": 0.4, "ms": 2.0, "edge_agreement": 0.7}


def figures(**given: float) -> Figures:
    return Figures(**{**PLAIN, **given})


def judged(iou: float, boundary_f1: float) -> Figures:
    return figures(iou=iou, boundary_f1=boundary_f1, mae=0.02)


def names(found: dict[str, Figures]) -> list[str]:
    return [candidate.name for candidate in rank_candidates({PRESETS[name]: each for name, each in found.items()})]


def test_with_masks_iou_ranks_first_and_boundary_f1_second() -> None:
    assert names(
        {
            "soft": judged(0.9001, 0.60),
            "base": judged(0.9004, 0.59),
            "fine": judged(0.9001, 0.6004),  # no better than soft, which was tried first
            "smooth": judged(0.95, 0.1),
            "expanded": judged(0.5, 0.99),
        }
    ) == ["smooth", "soft", "fine", "base", "expanded"]


def test_without_masks_edge_agreement_ranks() -> None:
    found = {"soft": figures(edge_agreement=0.6), "base": figures(edge_agreement=0.8)}
    assert names(found) == ["base", "soft"]


def test_means_are_over_photos_and_the_time_is_the_median() -> None:
    over = average([judged(0.8, 0.5), judged(0.6, 0.7), figures(iou=0.1, boundary_f1=0.0, mae=0.02, ms=90.0)])
    assert (over.iou, over.boundary_f1, over.ms) == (pytest.approx(0.5), pytest.approx(0.4), 2.0)
    assert average([figures(coverage=0.1), figures(coverage=0.3)]) == figures(coverage=pytest.approx(0.2))


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (PRESETS["soft"], "soft"),
        (RefineParameters(edges="soft", threshold=150, keep_largest=True), "threshold=150 edges=soft keep_largest"),
        (RefineParameters(), "as it is"),
    ],
)
def test_candidates_are_named_by_their_parameters(parameters: RefineParameters, name: str) -> None:
    assert short_name(parameters) == name


@pytest.fixture
def report() -> Report:
    found = {parameters: judged(0.9 - 0.01 * place, 0.5) for place, parameters in enumerate(PRESETS.values())}
    found[RefineParameters(close=4)] = judged(0.95, 0.5)
    return Report(
        folder="photos",
        profile="fast",
        photos=3,
        masks=True,
        ranked_by=RANKED_BY_MASKS,
        candidates=rank_candidates(found),
    )


def test_the_document_has_parameters_as_a_request_takes_them(report: Report) -> None:
    document = json.loads(to_json(report))
    assert document["candidates"][0] == {
        "name": "close=4",
        "parameters": {"close": 4},
        "figures": {**PLAIN, "iou": 0.95, "boundary_f1": 0.5, "mae": 0.02},
    }
    assert (document["masks"], document["photos"], len(document["candidates"])) == (True, 3, 10)


def test_the_table_has_the_best_and_every_preset(report: Report) -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(build_table(report, limit=2))
    printed = console.file.getvalue()
    assert all(name in printed for name in ("close=4", *PRESETS, "IoU ↑", "20.0", "0.950"))
    assert printed.index("close=4") < printed.index("soft")
