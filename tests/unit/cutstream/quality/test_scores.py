from __future__ import annotations

import msgspec
import numpy as np
import pytest

from cutstream.quality.scores import score, summarise

SIDE = 64
TRUTH = np.zeros((SIDE, SIDE), np.uint8)
TRUTH[16:48, 16:48] = 255
PHOTO = np.full((SIDE, SIDE, 3), 90, np.uint8)
EMPTY = np.zeros_like(TRUTH)


def test_a_perfect_matte() -> None:
    scores = score(PHOTO, TRUTH, TRUTH, time_ms=12.5)
    assert (scores.iou, scores.f03, scores.f1, scores.boundary_f1, scores.sharpness) == (
        *(1, 1, 1, 1),
        pytest.approx(1, abs=0.01),
    )
    assert (scores.mae, scores.sad, scores.gradient, scores.hausdorff, scores.hausdorff95) == (0, 0, 0, 0, 0)
    assert (scores.hausdorff_band, scores.coverage, scores.box_share) == ("excellent", 0.25, 0.25)
    assert (scores.illumination, scores.time_ms) == (pytest.approx(1), 12.5)


def test_nothing_found() -> None:
    scores = score(PHOTO, TRUTH, EMPTY)
    assert (scores.iou, scores.f03, scores.mae, scores.hausdorff_band) == (0, 0, 0.25, "poor")
    assert (scores.sharpness, scores.noise_sigma, scores.illumination, scores.time_ms) == (None,) * 4


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="same size"):
        score(PHOTO, TRUTH, TRUTH[1:])


def test_means_are_over_photos_and_leave_out_what_is_not_there() -> None:
    scores = [score(PHOTO, TRUTH, TRUTH, 10.0), score(PHOTO, TRUTH, EMPTY, 30.0)]
    mean = summarise(scores)
    assert (mean.count, mean.iou, mean.mae, mean.time_ms) == (2, 0.5, 0.125, 20.0)
    assert mean.sharpness == scores[0].sharpness
    assert mean.hausdorff == pytest.approx(np.mean([one.hausdorff for one in scores]))
    assert mean.hausdorff_band == "poor"
    assert mean.hausdorff_bands == {"excellent": 1, "good": 0, "fair": 0, "poor": 1}
    assert summarise(scores[1:]).sharpness is None


def test_scores_are_json() -> None:
    written = msgspec.json.decode(msgspec.json.encode(summarise([score(PHOTO, TRUTH, EMPTY)])))
    assert (written["sharpness"], written["iou"], written["count"]) == (None, 0.0, 1)
