from __future__ import annotations

import numpy as np
import pytest

from cutstream.quality.overlap import box_share, coverage, f_score, iou

EMPTY = np.zeros((4, 5), np.uint8)
LEFT = EMPTY.copy()
LEFT[:, :2] = 255  # 8 pixels
MIDDLE = EMPTY.copy()
MIDDLE[:, 1:4] = 255  # 12 pixels, 4 of them in LEFT


def test_overlap_by_hand() -> None:
    assert iou(LEFT, MIDDLE) == 4 / 16
    precision, recall = 4 / 8, 4 / 12
    assert f_score(LEFT, MIDDLE, 1.0) == pytest.approx(2 * precision * recall / (precision + recall))
    assert f_score(LEFT, MIDDLE, 0.3) == pytest.approx(1.3 * precision * recall / (0.3 * precision + recall))


def test_beta_below_one_prefers_precision() -> None:
    half = LEFT.copy()
    half[:, 1] = 0
    assert f_score(half, LEFT, 0.3) > f_score(LEFT, half, 0.3)
    assert f_score(half, LEFT, 1.0) == f_score(LEFT, half, 1.0)


def test_subject_begins_at_128() -> None:
    assert iou(np.full((2, 2), 127, np.uint8), np.full((2, 2), 255, np.uint8)) == 0.0
    assert iou(np.full((2, 2), 128, np.uint8), np.full((2, 2), 255, np.uint8)) == 1.0


@pytest.mark.parametrize(
    ("matte", "truth", "expected"), [(EMPTY, EMPTY, 1.0), (EMPTY, LEFT, 0.0), (LEFT, EMPTY, 0.0), (LEFT, LEFT, 1.0)]
)
def test_masks_without_a_subject(matte: np.ndarray, truth: np.ndarray, expected: float) -> None:
    assert [iou(matte, truth), f_score(matte, truth, 0.3), f_score(matte, truth, 1.0)] == [expected] * 3


def test_coverage_is_mean_alpha() -> None:
    assert coverage(np.array([[0, 255], [51, 0]], np.uint8)) == pytest.approx(1.2 / 4)
    assert coverage(EMPTY) == 0.0


def test_box_share_spans_all_parts_of_the_subject() -> None:
    apart = EMPTY.copy()
    apart[0, 1] = apart[2, 3] = 200
    apart[3, 4] = 100  # no subject
    assert box_share(apart) == 9 / 20
    assert box_share(EMPTY) == 0.0
    assert box_share(np.full((3, 3), 255, np.uint8)) == 1.0
