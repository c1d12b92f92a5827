"""Tuning from a folder to its outputs, with mattes made here instead of by a network."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree

import cv2
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from consumer.intake.preset_files import read_presets
from cutstream.errors import InvalidOption
from cutstream.matting.presets import BINARY, PRESETS
from evaluation.folder import InvalidExamples, Photo
from evaluation.tuning.photos import Sample
from evaluation.tuning.run import TuningPlan, plan_tuning, tune_refinement
from tests.support.evaluation import evaluation_folder, mask_of

SIDE = 400
DISCS = {"cats_1": ((160, 180), 80), "cats_2": ((200, 170), 100), "dogs_1": ((190, 190), 120)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return evaluation_folder(tmp_path / "set", DISCS, SIDE)


def planned(folder: Path, budget: int = 9, **targets: Path) -> TuningPlan:
    return plan_tuning(folder, budget, 0, targets.get("json"), targets.get("out"), targets.get("save"))


def too_large(photo: Photo, by: float = 12) -> Sample:
    """Return a soft matte that is too large and has an island."""
    centre, radius = DISCS[photo.stem]
    larger = mask_of(photo.stem, SIDE, discs={photo.stem: (centre, radius + by)})
    larger[350:390, 350:390] = 255
    return Sample(photo, cv2.resize(cv2.GaussianBlur(larger, (31, 31), 0), (128, 128), interpolation=cv2.INTER_AREA))


def run(plan: TuningPlan) -> tuple[dict, str]:
    console = Console(file=io.StringIO(), width=150)
    report = tune_refinement(plan, [too_large(photo) for photo in plan.photos], "fast", console)
    return {candidate.name: candidate.figures for candidate in report.candidates}, console.file.getvalue()


def test_the_search_finds_better_parameters_than_every_preset(folder: Path, tmp_path: Path) -> None:
    targets = {"json": tmp_path / "report.json", "out": tmp_path / "pictures", "save": tmp_path / "own" / "discs.toml"}
    figures, printed = run(planned(folder, budget=45, **targets))
    assert len(figures) == 45
    best, *_ = figures
    assert best not in PRESETS
    assert figures[best].iou > max(figures[name].iou for name in PRESETS) + 0.02
    assert min(figures, key=lambda name: figures[name].iou) == list(figures)[-1]

    document = json.loads(targets["json"].read_text())
    assert (document["masks"], document["photos"], document["profile"]) == (True, 3, "fast")
    assert [candidate["name"] for candidate in document["candidates"]] == list(figures)
    saved = read_presets(targets["save"].parent)["discs"]
    assert document["candidates"][0]["parameters"].items() <= asdict(saved).items()
    assert f"# The best of 45 candidates on 3 photos of {folder}" in targets["save"].read_text()
    sheets = sorted(path.name for path in (targets["out"] / "sheets").iterdir())
    assert (len(sheets), sheets[0]) == (3, "01-dogs_1.jpg")  # the longest contour, on which candidates differ most
    with Image.open(targets["out"] / "sheets" / sheets[0]) as picture:
        assert picture.width > 3 * 300
    assert all(word in printed for word in (best, "aggressive", "IoU", str(targets["save"]), "ranked by IoU"))


def test_without_masks_edges_rank_and_no_truth_is_claimed(folder: Path) -> None:
    rmtree(folder / "masks")
    figures, printed = run(planned(folder))
    assert set(figures) == set(PRESETS)
    agreement = [each.edge_agreement for each in figures.values()]
    assert agreement == sorted(agreement, reverse=True)
    assert all((each.iou, each.boundary_f1, each.mae) == (None, None, None) for each in figures.values())
    assert "IoU" not in printed
    assert "not whether they are the right ones" in printed


def test_figures_describe_the_mattes(folder: Path) -> None:
    figures, _ = run(planned(folder))
    assert len(figures) == len(PRESETS) == len(BINARY) + 1
    assert figures["aggressive"].coverage > figures["expanded"].coverage > figures["base"].coverage
    share = np.mean([mask_of(stem, SIDE, discs=DISCS).mean() / 255 for stem in DISCS])
    assert share < figures["base"].coverage < 1.6 * share
    assert figures["base"].box_share > figures["base"].coverage
    assert all(each.ms > 0 for each in figures.values())


@pytest.mark.parametrize("name", ["report.txt", "worst"])
def test_a_folder_with_other_files_is_not_replaced(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).touch()
    with pytest.raises(InvalidOption, match=rf"holds {name}, which no"):
        planned(folder, out=tmp_path / "mine")


def test_invalid_inputs_are_errors_before_the_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="--budget 8 is too small: give at least 9"):
        planned(folder, budget=8)
    with pytest.raises(InvalidOption, match="built-in"):
        planned(folder, save=tmp_path / "base.toml")
    with pytest.raises(InvalidExamples, match="holds no photos"):
        planned(tmp_path / "nowhere")
