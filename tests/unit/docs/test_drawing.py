"""The drawn dashboards: numbers as Grafana writes them, and no label that is clipped or covers another."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import pytest

from docs.drawing.units import show
from tests.support.dashboards import dashboards


class Answer(NamedTuple):
    labels: dict[str, str]
    times: list[float]
    values: list[float]


LONG = "invalid_background_image_url_of_a_long_name"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0, "s", "0 s"),
        (0.0042, "s", "4.2 ms"),
        (95.0, "s", "1.58 min"),
        (0.995, "percentunit", "99.5%"),
        (1536.0, "bytes", "1.5 KiB"),
        (3.5e6, "Bps", "3.34 MiB/s"),
        (3900.0, "short", "3.9 K"),
        (12.34, "reqps", "12.3 req/s"),
        (19_200.0, "pixel", "19.2 K px"),
        (0.00367, "currencyUSD", "$0.00367"),
        (2.0, "none", "2"),
        (7.0, "ops", "7 ops/s"),
    ],
)
def test_numbers_have_the_unit_and_three_digits(value: float, unit: str, shown: str) -> None:
    assert show(value, unit) == shown


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_no_label_is_clipped_or_covers_another(dashboard: dict) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from docs.drawing.dashboards import drawing

    names = ("stage", "topic", "code", "reason", "instance", "check", "model", "profile", "alertname")
    answers = {
        (panel["id"], target["refId"]): [
            Answer({name: f"{name}-{LONG[: 9 * number]}" for name in names}, [0.0, 60.0], [0.5 * number, 4.0 * number])
            for number in range(1 if panel["type"] == "stat" else 7)
        ]
        for panel in dashboard["panels"]
        for target in panel["targets"]
        if panel["title"] != "Memory of the GPU"  # one without data
    }
    figure = drawing(dashboard, answers)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in figure.texts]
    for axes in figure.axes:
        boxes += [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in axes.texts]
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= width, name
        assert box.y1 <= height, name
    covering = [
        (first, second)
        for (first, one), (second, other) in combinations(boxes, 2)
        if one.x0 < other.x1 - 1 and other.x0 < one.x1 - 1 and one.y0 < other.y1 - 1 and other.y0 < one.y1 - 1
    ]
    assert not covering
