"""Show a view: as a picture that fits a terminal, or as a line for programs and logs."""

from __future__ import annotations

from math import inf

from rich.console import ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from cutstream.watching.view import StageView, View, WorkerView

_FIXED_LINES = 17  # without the workers
_WIDE = 100
_FULL, _LIGHT = ("█", "░"), ("#", "-")
_UNKNOWN = "–"


def picture(view: View, width: int, height: int, keys: str = "", ascii_only: bool = False) -> Group:
    """Return the view for a terminal of this size. Workers that are not well come first, if not all have room."""
    head = Text.assemble(
        (_count(sum(worker.well for worker in view.workers), "worker") + " ready", "bold"),
        _away(view),
        "   ",
        (keys, "dim"),
    )
    workers = sorted(view.workers, key=lambda worker: (worker.well, not worker.away))
    room = max(1, height - _FIXED_LINES)
    shown = workers if len(workers) <= room else workers[: room - 1]
    more = [Text(f"and {_count(len(workers) - len(shown), 'more worker')}", "dim")] if len(shown) < len(workers) else []
    parts: list[ConsoleRenderable] = [
        head,
        Text(),
        *_numbers(view),
        Text(),
        _stage_table(view, width, _LIGHT if ascii_only else _FULL),
        Text(),
        _worker_table([worker for worker in view.workers if worker in shown], with_memory=width >= _WIDE),
        *more,
    ]
    for part in parts:
        if isinstance(part, Text):
            part.no_wrap, part.overflow = True, "ellipsis"
    return Group(*parts)


def line(view: View) -> str:
    """Return the view as `name=value` pairs."""
    p50, p95, p99 = map(_seconds, view.latency)
    values = {
        "workers": f"{sum(not worker.away for worker in view.workers)}/{len(view.workers)}",
        "rate": _rate(view.rate),
        **{status: str(count) for status, count in {"ok": 0, "failed": 0, **view.statuses}.items()},
        "lag": f"{view.lag:.0f}",
        "drain": _drain(view.drain_s),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "bottleneck": view.bottleneck or _UNKNOWN,
    }
    pairs = [f"{name}={value.replace(' ', '')}" for name, value in values.items()]
    pairs += [f"failed[{code}]={count}" for code, count in view.codes.items()]
    pairs += [f"[{worker.address} {worker.state}]" for worker in view.workers if not worker.well]
    return " ".join(pairs)


def _away(view: View) -> Text:
    away = sum(worker.away for worker in view.workers)
    unwell = sum(not worker.well and not worker.away for worker in view.workers)
    return Text.assemble(
        (f", {unwell} not ready" if unwell else "", "bold yellow"), (f", {away} away" if away else "", "bold red")
    )


def _numbers(view: View) -> list[Text]:
    p50, p95, p99 = map(_seconds, view.latency)
    others = ", ".join(f"{count:,} {name}" for name, count in view.statuses.items() if name not in ("ok", "failed"))
    failed = view.statuses.get("failed", 0)
    codes = ", ".join(f"{count:,} {code}" for code, count in view.codes.items())
    return [
        Text.assemble(
            (f"{_rate(view.rate):>9}", "bold"),
            "   done ",
            (f"{view.statuses.get('ok', 0):,}", "bold green"),
            "   failed ",
            (f"{failed:,}", "bold red" if failed else ""),
            f"   {others}" if others else "",
        ),
        Text.assemble(
            f"{'lag':>9} ",
            (f"{view.lag:,.0f}", "bold"),
            "   time to drain ",
            (_drain(view.drain_s), "bold"),
            f"   oldest request {_seconds(view.oldest_s)}",
        ),
        Text(f"{'latency':>9} 50 % {p50}   95 % {p95}   99 % {p99}"),
        Text.assemble(f"{'failures':>9} ", (codes or "none", "red" if codes else "dim")),
    ]


def _stage_table(view: View, width: int, characters: tuple[str, str]) -> Table:
    table = _table("stage", "time", "waiting", "working", "retrying")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_column("photos in each stage", ratio=1, no_wrap=True)
    room = max(8, width - 48)
    most = max(1.0, *(stage.photos for stage in view.stages), sum(worker.window for worker in view.workers) / 2)
    for stage in view.stages:
        is_bottleneck = stage.name == view.bottleneck
        bar = _bar(stage, (room - 13) / most, characters)
        counts = (f"{count:.0f}" if count else "" for count in (stage.waiting, stage.working, stage.retrying))
        table.add_row(
            Text(stage.name, "bold" if is_bottleneck else ""),
            "" if stage.seconds is None else _seconds(stage.seconds),
            *counts,
            Text.assemble(
                (bar, "yellow" if is_bottleneck else "cyan"), (" bottleneck" if is_bottleneck else "", "bold yellow")
            ),
        )
    return table


def _bar(stage: StageView, columns_per_photo: float, characters: tuple[str, str]) -> str:
    """Return a bar as long as the photos in a stage are many. The light part is those that only wait."""
    full = round(stage.working * columns_per_photo)
    light = round(stage.photos * columns_per_photo) - full
    return characters[0] * full + characters[1] * max(0, light)


def _worker_table(workers: list[WorkerView], with_memory: bool) -> Table:
    memory = ["memory"] if with_memory else []
    table = _table("worker", "per s", "in flight", "lag", *memory, "device")
    for column in table.columns[1:-1]:
        column.justify = "right"
    table.add_column("state", ratio=1, no_wrap=True, overflow="ellipsis")
    for worker in workers:
        numbers = [
            _rate(worker.rate).removesuffix("/s"),
            f"{worker.in_flight:.0f}/{worker.window:.0f}",
            f"{worker.lag:,.0f}",
            *(f"{worker.memory / 1e6:,.0f} MB" for _ in memory),
            worker.device,
        ]
        state = Text(worker.state, "green" if worker.well else "bold red" if worker.away else "yellow")
        table.add_row(Text(worker.address), *("" if worker.away else Text(number) for number in numbers), state)
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    return table


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _rate(rate: float | None) -> str:
    return _UNKNOWN if rate is None else f"{rate:,.1f}/s"


def _drain(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    return "never" if seconds == inf else _seconds(seconds)


def _seconds(seconds: float | None) -> str:
    """Return a time with two or three digits and its unit."""
    if seconds is None:
        return _UNKNOWN
    for limit, unit, size in ((1.0, "ms", 0.001), (120.0, "s", 1.0), (7200.0, "min", 60.0), (172_800.0, "h", 3600.0)):
        if seconds < limit:
            value = seconds / size
            return f"{value:.1f} {unit}" if unit != "ms" and value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86_400:,.0f} d"
