from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from evaluation.scoring.folder import InvalidExamples, examples
from evaluation.scoring.measure import FEW, Prediction, check_all, measure_all
from tests.support.evaluation import evaluation_folder

MANY = {f"many_{number:02}": ((20 + number, 30), 12) for number in range(FEW + 2)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluation_folder(tmp_path_factory.mktemp("many") / "set", MANY, side=64)


def test_processes_measure_as_this_one_and_in_order(folder: Path) -> None:
    predictions = [Prediction(example, examples(folder)[0].mask, 5.0) for example in examples(folder)]
    together = list(measure_all(predictions))
    assert together == [next(measure_all([prediction])) for prediction in predictions]
    overlaps = [scores.iou for scores in together]
    assert overlaps == sorted(overlaps, reverse=True)  # each disc is farther from the first
    assert overlaps[0] == 1.0


def test_an_error_in_a_process_arrives_with_its_words(folder: Path, tmp_path: Path) -> None:
    found = examples(folder)
    wrong = tmp_path / "wrong.png"
    Image.new("L", (3, 3)).save(wrong)
    predictions = [Prediction(example, wrong if example is found[-1] else example.mask) for example in found]
    with pytest.raises(InvalidExamples, match=r"wrong\.png is 3×3, its photo .* 64×64"):
        list(measure_all(predictions))


def test_the_first_that_does_not_fit_stops_the_check(folder: Path, tmp_path: Path) -> None:
    found = examples(folder)[:FEW]
    assert len(list(check_all(found))) == FEW
    wrong = tmp_path / "wrong.png"
    Image.new("L", (3, 3)).save(wrong)
    checks = check_all([found[0], replace(found[1], mask=wrong)])
    next(checks)
    with pytest.raises(InvalidExamples, match=r"wrong\.png is 3×3"):
        next(checks)
