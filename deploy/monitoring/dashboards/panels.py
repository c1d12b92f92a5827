"""The three kinds of panels, and a dashboard of lines of panels, built with Grafana's own typed library (ADR 15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

WIDTH = 24
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_TAG = "cutstream"

Step: TypeAlias = tuple[float, Literal["green", "orange", "red"]]
Variable: TypeAlias = Builder[models.VariableModel]


@dataclass(frozen=True)
class Query:
    """A query in PromQL. `legend` names each series, such as `{{stage}}`; without one it is the panel's title."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """`description` says what the panel shows and what to do when it moves. `steps` are colours from a value on.

    `gpu` marks a panel that has data only where there is a GPU.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["lines", "areas", "number", "bars"] = "lines"
    width: int = 8
    steps: tuple[Step, ...] = ()
    maximum: float | None = None
    decimals: int | None = None
    empty: str = ""
    gpu: bool = False

    @property
    def height(self) -> int:
        return 4 if self.kind == "number" else 8


@dataclass(frozen=True)
class Board:
    """A dashboard: lines of panels that are as high as each other and fill the width."""

    name: str
    question: str
    lines: tuple[tuple[Panel, ...], ...]
    variables: tuple[Variable, ...] = ()

    @property
    def uid(self) -> str:
        return f"{_TAG}-{self.name.lower()}"


def number(title: str, description: str, unit: str, expression: str, **options: Any) -> Panel:
    return Panel(title, description, unit, (Query(expression),), "number", **{"width": 4} | options)


def lines(title: str, description: str, unit: str, *queries: Query, **options: Any) -> Panel:
    return Panel(title, description, unit, queries, "lines", **options)


def areas(title: str, description: str, unit: str, *queries: Query, **options: Any) -> Panel:
    """Return a panel of stacked areas, for parts of a whole."""
    return Panel(title, description, unit, queries, "areas", **options)


def bars(title: str, description: str, unit: str, query: Query, **options: Any) -> Panel:
    """Return a panel of one bar for each series, for a comparison of what is now."""
    return Panel(title, description, unit, (query,), "bars", **options)


def choice(name: str, label: str, query: str) -> Variable:
    """Return a variable of several values, which Prometheus is asked for. At first it stands for all."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(_SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def text(name: str, label: str, default: str) -> Variable:
    """Return a variable that is typed in."""
    return dashboard.TextBoxVariable(name).label(label).default_value(default)


def encode(board: Board) -> str:
    """Return a dashboard as the JSON that Grafana reads."""
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    built = (
        dashboard.Dashboard(f"cutstream / {board.name}")
        .uid(board.uid)
        .description(board.question)
        .tags([_TAG])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .annotation(
            dashboard.AnnotationQuery()
            .name("Alerts")
            .datasource(_SOURCE)
            .enable(True)
            .icon_color("red")
            .expr('ALERTS{alertname=~"Cutstream.*",alertstate="firing"}')
        )
    )
    worker = choice("instance", "Worker", 'label_values(cutstream_build_info{job="cutstream"}, instance)')
    for variable in (source, worker):
        built.with_variable(variable)
    for variable in board.variables:
        built.with_variable(variable)
    for panel in _placed(board.lines):
        built.with_panel(panel)
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _placed(rows: Sequence[Sequence[Panel]]) -> list[Any]:
    """Return the panels' builders, each with its place on the grid."""
    placed: list[Any] = []
    top = 0
    for row in rows:
        left = 0
        for panel in row:
            place = models.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            placed.append(_build(panel).id(len(placed) + 1).grid_pos(place))
            left += panel.width
        top += row[0].height
    return placed


def _build(panel: Panel) -> Any:
    built: Any
    match panel.kind:
        case "number":
            built = (
                stat.Panel()
                .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
                .graph_mode(options.BigValueGraphMode.AREA)
                .color_mode(options.BigValueColorMode.VALUE)
            )
        case "bars":
            built = (
                bargauge.Panel()
                .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
                .orientation(options.VizOrientation.HORIZONTAL)
                .display_mode(options.BarGaugeDisplayMode.BASIC)
            )
        case _:
            built = _graph(panel)
    if panel.maximum is not None:
        built.max(panel.maximum)
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    if panel.empty:
        built.no_value(panel.empty)
    if panel.kind in ("number", "bars") or panel.steps:
        built.thresholds(_thresholds(panel.steps))
    built.title(panel.title).description(panel.description).datasource(_SOURCE).unit(panel.unit).min(0)
    return built.targets([_target(index, query) for index, query in enumerate(panel.queries)])


def _graph(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.LIST)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI))
        .line_width(1)
        .fill_opacity(30 if panel.kind == "areas" else 5)
        .show_points(options.VisibilityMode.NEVER)
    )
    if panel.kind == "areas":
        built.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if panel.steps:
        built.thresholds_style(common.GraphThresholdsStyleConfig().mode(options.GraphTresholdsStyleMode.DASHED))
    return built


def _thresholds(steps: Sequence[Step]) -> dashboard.ThresholdsConfig:
    """Return the steps behind a first one, which Grafana has from minus infinity on."""
    first = "red" if steps and steps[-1][1] == "green" else "green"
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(color=first, value=None), *(models.Threshold(color=c, value=v) for v, c in steps)])
    )


def _target(index: int, query: Query) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(query.expression).ref_id(chr(ord("A") + index)).range()
    return built.legend_format(query.legend) if query.legend else built
