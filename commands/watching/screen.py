"""Show a view: as a picture that fits a terminal, or as a line for programs and logs."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import ConsoleRenderable, Group
from rich.table import Table
from rich.text import Text

from commands.watching.numbers import UNKNOWN, drain, number, rate, seconds
from cutstream.watching.view import StageView, View, WorkerView

_FIXED_LINES = 17  # without the workers
_WIDE = 100
_ROOMY = 64  # columns, for the numbers of photos in each stage
_STATE = 24  # columns that a worker's state has before any number
_FULL, _LIGHT = ("█", "░"), ("#", "-")


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
        _worker_table([worker for worker in view.workers if worker in shown], width),
        *more,
    ]
    for part in parts:
        if isinstance(part, Text):
            part.no_wrap, part.overflow = True, "ellipsis"
    return Group(*parts)


def line(view: View) -> str:
    """Return the view as `name=value` pairs."""
    p50, p95, p99 = map(seconds, view.latency)
    values = {
        "workers": f"{sum(worker.well for worker in view.workers)}/{len(view.workers)}",
        "rate": rate(view.rate),
        **{status: _plain(count) for status, count in {"ok": 0, "failed": 0, **view.statuses}.items()},
        "lag": _plain(view.lag),
        **({"retried_later": _plain(view.retry_lag)} if view.retry_lag else {}),
        "drain": drain(view.drain_s),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "bottleneck": view.bottleneck or UNKNOWN,
    }
    pairs = [f"{name}={value.replace(' ', '')}" for name, value in values.items()]
    pairs += [f"failed[{code}]={_plain(count)}" for code, count in view.codes.items()]
    pairs += [f"[{worker.address} {worker.state}]" for worker in view.workers if not worker.well]
    return " ".join(pairs)


def _away(view: View) -> Text:
    away = sum(worker.away for worker in view.workers)
    halted = sum(worker.halted for worker in view.workers)
    unwell = sum(not worker.well for worker in view.workers) - away - halted
    return Text.assemble(
        (f", {unwell} not ready" if unwell else "", "bold yellow"),
        (f", {halted} halted" if halted else "", "bold red"),
        (f", {away} away" if away else "", "bold red"),
    )


def _numbers(view: View) -> list[Text]:
    p50, p95, p99 = map(seconds, view.latency)
    others = ", ".join(
        f"{number(count)} {name}" for name, count in view.statuses.items() if name not in ("ok", "failed")
    )
    failed = view.statuses.get("failed", 0)
    codes = ", ".join(f"{number(count)} {code}" for code, count in view.codes.items())
    return [
        Text.assemble(
            (f"{rate(view.rate):>9}", "bold"),
            "   done ",
            (number(view.statuses.get("ok", 0)), "bold green"),
            "   failed ",
            (number(failed), "bold red" if failed else ""),
            f"   {others}" if others else "",
        ),
        Text.assemble(
            f"{'waiting':>9} ",
            (number(view.waiting), "bold"),
            f", and {number(view.retry_lag)} retried later" if view.retry_lag else "",
            "   time to drain ",
            (drain(view.drain_s), "bold"),
            f"   oldest request {seconds(view.oldest_s)}",
        ),
        Text(f"{'latency':>9} 50 % {p50}   95 % {p95}   99 % {p99}"),
        Text.assemble(f"{'failures':>9} ", (codes or "none", "red" if codes else "dim")),
    ]


def _stage_table(view: View, width: int, characters: tuple[str, str]) -> Table:
    roomy = width >= _ROOMY
    table = _table("stage", "time", *(("waiting", "working", "retrying") if roomy else ()))
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_column("photos in each stage", ratio=1, no_wrap=True)
    room = max(21, width - (48 if roomy else 18))
    most = max(1.0, *(stage.photos for stage in view.stages), sum(worker.window for worker in view.workers) / 2)
    for stage in view.stages:
        is_bottleneck = stage.name == view.bottleneck
        bar = _bar(stage, (room - 13) / most, characters)
        counts = (f"{count:.0f}" if count else "" for count in (stage.waiting, stage.working, stage.retrying))
        table.add_row(
            Text(stage.name, "bold" if is_bottleneck else ""),
            "" if stage.seconds is None else seconds(stage.seconds),
            *(counts if roomy else ()),
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


def _worker_table(workers: list[WorkerView], width: int) -> Table:
    """Return the workers' rows. Where not all columns have room, address and state stay, and the others go first."""
    columns: dict[str, list[str]] = {
        "per s": [rate(worker.rate).removesuffix("/s") for worker in workers],
        "in flight": [f"{number(worker.in_flight)}/{number(worker.window)}" for worker in workers],
        "lag": [number(worker.lag) for worker in workers],
        "device": [worker.device for worker in workers],
    }
    if width >= _WIDE:
        columns["memory"] = [f"{number(worker.memory / 1e6)} MB" for worker in workers]
    room = width - _width("worker", [worker.address for worker in workers]) - 2
    room -= min(_STATE, _width("state", [worker.state for worker in workers]))
    shown = []
    for name, texts in columns.items():
        room -= _width(name, ["" if worker.away else text for worker, text in zip(workers, texts, strict=True)]) + 2
        if room < 0:
            break
        shown.append(name)
    table = _table("worker", *shown)
    for column in table.columns[1:]:
        column.justify = "left" if column.header == "device" else "right"
    table.add_column("state", ratio=1, no_wrap=True, overflow="ellipsis")
    for row, worker in enumerate(workers):
        texts = ["" if worker.away else columns[name][row] for name in shown]
        state = Text(worker.state, "green" if worker.well else "bold red" if worker.away or worker.halted else "yellow")
        table.add_row(Text(worker.address), *map(Text, texts), state)
    return table


def _width(name: str, texts: list[str]) -> int:
    return max(map(cell_len, [name, *texts]))


def _table(*names: str) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    return table


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _plain(count: float | None) -> str:
    """Return a count as programs read it."""
    return UNKNOWN if count is None else f"{min(count, 1e15):.0f}"
