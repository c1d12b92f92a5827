from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cutstream.quality.scores import Scores, score
from evaluation.folder import find_examples
from evaluation.scoring.drawing import (
    MISSING,
    PALETTE,
    TOO_MUCH,
    axis_ticks,
    draw_case,
    draw_difference,
    draw_scatter,
    scatter_points,
    worst_stems,
)
from evaluation.scoring.measure import Prediction
from tests.support.evaluation import evaluation_folder

TRUTH = np.zeros((48, 48), np.uint8)
TRUTH[12:36, 12:36] = 255
PHOTO = np.full((48, 48, 3), 90, np.uint8)


def scored(matte: np.ndarray, time_ms: float | None = None) -> Scores:
    return score(PHOTO, TRUTH, matte, time_ms)


def test_the_lowest_iou_comes_first() -> None:
    half = np.where(np.arange(48)[:, None] < 24, TRUTH, 0).astype(np.uint8)
    scores = {"good": scored(TRUTH), "none": scored(np.zeros_like(TRUTH)), "half": scored(half)}
    assert worst_stems(scores, 2) == ["none", "half"]


def test_too_much_is_red_and_missing_is_blue() -> None:
    matte = np.zeros_like(TRUTH)
    matte[0, 0] = 255
    painted = draw_difference(PHOTO, TRUTH, matte)
    assert tuple(painted[0, 0]) == TOO_MUCH
    assert tuple(painted[20, 20]) == MISSING
    assert len(set(painted[0, 1].tolist())) == 1  # grey where they agree


def test_a_case_shows_four_panels_of_the_photos_shape(tmp_path: Path) -> None:
    example = find_examples(evaluation_folder(tmp_path / "set"))[0]
    sheet = draw_case(Prediction(example, example.mask), scored(TRUTH))
    assert sheet.width > 4 * 96
    truth_at = (12 + 260 + 12 + 40, 64 + 44)  # the disc's centre in the second panel
    assert sheet.getpixel(truth_at) == (255, 255, 255)
    assert sheet.getpixel((truth_at[0], 66)) == (0, 0, 0)


def test_the_scatter_has_a_dot_for_each_photo_in_its_subsets_colour() -> None:
    chart = draw_scatter(
        scatter_points({"a_1": scored(TRUTH, 0.0), "b_1": scored(np.zeros_like(TRUTH), 100.0)}), "title"
    )
    colours = {colour for _, colour in chart.getcolors(1 << 20)}
    for code in PALETTE[:2]:
        assert tuple(int(code[at : at + 2], 16) for at in (1, 3, 5)) in colours
    below = np.asarray(chart)[525:536, 772:788].reshape(-1, 3)  # right and bottom: 100 ms, IoU 0
    assert (below.astype(int).max(axis=1) - below.astype(int).min(axis=1)).max() > 60


def test_without_times_there_is_no_scatter() -> None:
    assert draw_scatter(scatter_points({"a": scored(TRUTH)}), "title") is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 540, [0, 100, 200, 300, 400, 500, 600]), (0.14, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (1.0, 1.0, None)],
)
def test_ticks_are_round_and_span_the_values(low: float, high: float, expected: list[float] | None) -> None:
    found = axis_ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert found[-1] > found[0]
    assert expected is None or found == pytest.approx(expected)
