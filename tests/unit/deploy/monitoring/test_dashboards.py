"""The dashboards as Grafana would read them: places, units, colours, variables, links, and metrics that exist."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest

from cutstream.metrics import DEFINITIONS
from deploy.monitoring import files
from tests.support.dashboards import GPU_PANELS, PATHS, dashboards, questions, value_of
from tests.support.triton_metrics import TRITON_METRICS

BOARDS = {board["uid"]: board for board in dashboards()}
PANELS = [
    pytest.param(board, panel, id=f"{uid}-{panel['title']}")
    for uid, board in BOARDS.items()
    for panel in board["panels"]
]
OTHERS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}


def test_there_are_six() -> None:
    names = ("capacity", "gateway", "overview", "pipeline", "reliability", "triton")
    assert list(BOARDS) == [f"cutstream-{name}" for name in names]
    assert [path.stem for path in PATHS] == list(BOARDS)


def test_the_files_are_what_the_code_says() -> None:
    if not files.can_build_dashboards():
        pytest.skip("grafana-foundation-sdk is not installed")
    assert files.stale(files.FOLDER) == [], "run `make dashboards`"


@pytest.mark.parametrize("uid", list(BOARDS))
def test_panels_fill_the_grid_and_none_covers_another(uid: str) -> None:
    cells: dict[tuple[int, int], int] = {}
    for panel in BOARDS[uid]["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in cells, f"{panel['title']} covers panel {cells[x, y]}"
                cells[x, y] = panel["id"]
    height = max(y for _, y in cells) + 1
    assert len(cells) == 24 * height, "there is a hole"
    ids = [panel["id"] for panel in BOARDS[uid]["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_says_what_it_shows_in_which_unit(board: dict[str, Any], panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    units = pytest.importorskip("grafana_foundation_sdk.models.units")
    known = {value for name, value in vars(units).items() if name[0].isupper()}
    assert panel["fieldConfig"]["defaults"]["unit"] in known
    if panel["type"] == "timeseries" and len(panel["targets"]) > 1:
        assert all(target.get("legendFormat") for target in panel["targets"])


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_thresholds_rise_and_lie_within_the_scale(board: dict[str, Any], panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    first, *steps = defaults.get("thresholds", {}).get("steps", [{"value": None}])
    assert first["value"] is None
    assert all(low["value"] < high["value"] for low, high in pairwise(steps))
    assert all(0 < step["value"] <= defaults.get("max", float("inf")) for step in steps)
    assert len({step["color"] for step in (first, *steps) if "color" in step}) == len(steps) + ("color" in first)


@pytest.mark.parametrize("uid", list(BOARDS))
def test_variables_exist_are_used_and_stand_for_something(uid: str) -> None:
    board = BOARDS[uid]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    used = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\$(\w+)", target["expr"])
    } - {"__rate_interval"}
    assert used <= variables.keys()
    assert variables.keys() - used <= {"datasource", "instance"}  # one worker stays chosen from dashboard to dashboard
    assert all(value_of(variable) for variable in variables.values())
    for panel in board["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("uid", list(BOARDS))
def test_a_dashboard_leads_to_the_others_and_keeps_time_and_worker(uid: str) -> None:
    (link,) = BOARDS[uid]["links"]
    assert (link["type"], link["tags"], link["keepTime"], link["includeVars"]) == (
        "dashboards",
        ["cutstream"],
        True,
        True,
    )
    assert BOARDS[uid]["tags"] == ["cutstream"]
    assert BOARDS[uid]["editable"] is False


@pytest.mark.parametrize("uid", list(BOARDS))
def test_queries_ask_for_metrics_that_exist(uid: str) -> None:
    ours = {definition.name for definition in DEFINITIONS}
    for panel, _, query in questions(BOARDS[uid], "1m"):
        for name in re.findall(r"\b(?:cutstream|nv|process)_\w+", re.sub(r'"[^"]*"', "", query)):
            plain = re.sub(r"_(sum|count|bucket)$", "", name)
            assert {name, plain} & (ours | TRITON_METRICS | OTHERS), f"{panel['title']}: {name}"


def test_every_metric_that_is_shown_nowhere_is_known() -> None:
    shown = " ".join(query for board in dashboards() for _, _, query in questions(board, "1m"))
    hidden = {definition.name for definition in DEFINITIONS if definition.name not in shown}
    assert hidden == {
        "cutstream_answered_offset",  # alerts use it
        "cutstream_background_cache_bytes",
        "cutstream_backgrounds",
        "cutstream_decoder_dropped_lines_total",
        "cutstream_halted",  # alerts use it
        "cutstream_loop_heartbeat_seconds",  # alerts use it
        "cutstream_uncommitted_results",
    }


def test_panels_without_data_are_those_of_a_gpu() -> None:
    titles = {panel["title"] for board in dashboards() for panel in board["panels"]}
    assert titles >= GPU_PANELS
