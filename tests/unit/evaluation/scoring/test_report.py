from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from rich.console import Console

from cutstream.quality.scores import Scores, score
from evaluation.scoring.report import NO_SUBSET, build_report, build_tables, describe_parts, subset_of, to_json

TRUTH = np.zeros((48, 48), np.uint8)
TRUTH[12:36, 12:36] = 255
PHOTO = np.full((48, 48, 3), 90, np.uint8)


@dataclass(frozen=True)
class Examples:
    good: Scores
    bad: Scores


@pytest.fixture(scope="module")
def scored() -> Examples:
    return Examples(score(PHOTO, TRUTH, TRUTH, 10.0), score(PHOTO, TRUTH, np.zeros_like(TRUTH), 30.0))


def test_a_subset_is_the_name_up_to_the_first_underscore() -> None:
    assert [subset_of(stem) for stem in ("cats_0175_jpg", "_x", "plain")] == ["cats", "", NO_SUBSET]


def test_scores_are_grouped_by_subset_and_attribute(scored: Examples) -> None:
    photos = {"cats_1": scored.good, "cats_2": scored.bad, "dogs_1": scored.good}
    attributes = {"people": {"cats_1": "10", "cats_2": "2", "dogs_1": "2"}, "light": {}}
    found = build_report(photos, attributes, folder="here")
    assert (found.overall.count, found.overall.iou) == (3, pytest.approx(2 / 3))
    assert {name: (group.count, group.iou) for name, group in found.subsets.items()} == {
        "cats": (2, 0.5),
        "dogs": (1, 1),
    }
    assert list(found.attributes["people"]) == ["2", "10"]  # as numbers
    assert found.attributes["people"]["2"].iou == 0.5
    assert found.attributes["light"] == {}


def test_photos_with_ghosts_and_holes_are_counted() -> None:
    torn = TRUTH.copy()
    torn[20:24, 20:24], torn[:4, :4] = 0, 200
    photos = {"a": score(PHOTO, TRUTH, torn), "b": score(PHOTO, TRUTH, TRUTH)}
    found = build_report(photos, {}, folder="here")
    assert (found.overall.ghosts, found.overall.holes) == (0.5, 0.5)
    assert (found.overall.with_ghosts, found.overall.with_holes) == (1, 1)
    assert describe_parts(found) == "photos with ghosts: 1 of 2, with false holes: 1"


def test_the_document_has_every_score_of_each_photo(scored: Examples) -> None:
    written = json.loads(
        to_json(build_report({"a": scored.good, "b": scored.bad}, {}, folder="here", profile="general"))
    )
    fields = set(Scores.__struct_fields__)
    assert fields <= written["overall"].keys()
    assert fields == written["photos"]["b"].keys()
    assert (written["profile"], written["model"], written["predictions"]) == ("general", None, None)
    assert written["photos"]["b"]["sharpness"] is None
    assert written["subsets"][NO_SUBSET]["count"] == 2


def test_tables_show_each_group_and_fit_80_columns(scored: Examples) -> None:
    photos = {f"fashion_{n}": scored.bad for n in range(150)} | {"[b]_1": scored.good}
    found = build_report(photos, {"pose_difficulty": {"fashion_1": "2"}}, folder="here")
    console = Console(width=80)
    with console.capture() as captured:
        console.print(*build_tables(found))
    shown = captured.get()
    assert "…" not in shown
    assert [line.split()[:3] for line in shown.splitlines() if line.startswith((" fashion", " [b]", " all"))] == [
        ["[b]", "1", "1.000"],
        ["fashion", "150", "0.000"],
        ["all", "151", "0.007"],
    ]
    assert "1/0/0/150" in shown
    assert "pose_diff" in shown
    assert shown.count("ms ↓") == 2
