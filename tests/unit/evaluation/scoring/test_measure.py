from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from evaluation.folder import InvalidExamples, find_examples
from evaluation.parallel import IN_PROCESS_LIMIT
from evaluation.scoring.measure import Prediction, check_examples, score_all
from tests.support.evaluation import evaluation_folder

MANY = {f"many_{number:02}": ((20 + number, 30), 12) for number in range(IN_PROCESS_LIMIT + 2)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluation_folder(tmp_path_factory.mktemp("many") / "set", MANY, side=64)


def test_processes_give_the_same_scores_in_order(folder: Path) -> None:
    predictions = [Prediction(example, find_examples(folder)[0].mask, 5.0) for example in find_examples(folder)]
    together = list(score_all(predictions))
    assert together == [next(score_all([prediction])) for prediction in predictions]
    overlaps = [scores.iou for scores in together]
    assert overlaps == sorted(overlaps, reverse=True)  # each disc is farther from the first
    assert overlaps[0] == 1.0


def test_an_error_in_a_process_keeps_its_message(folder: Path, tmp_path: Path) -> None:
    found = find_examples(folder)
    wrong = tmp_path / "wrong.png"
    Image.new("L", (3, 3)).save(wrong)
    predictions = [Prediction(example, wrong if example is found[-1] else example.mask) for example in found]
    with pytest.raises(InvalidExamples, match=r"wrong\.png is 3×3, its photo .* 64×64"):
        list(score_all(predictions))


def test_the_check_stops_at_the_first_invalid_example(folder: Path, tmp_path: Path) -> None:
    found = find_examples(folder)[:IN_PROCESS_LIMIT]
    assert len(list(check_examples(found))) == IN_PROCESS_LIMIT
    wrong = tmp_path / "wrong.png"
    Image.new("L", (3, 3)).save(wrong)
    checks = check_examples([found[0], replace(found[1], mask=wrong)])
    next(checks)
    with pytest.raises(InvalidExamples, match=r"wrong\.png is 3×3"):
        next(checks)
