"""Plan capacity: what a deployment needs for so many photos a day."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.console import echo, named_errors, out

EXAMPLES = """\
Examples:

  cutstream plan --photos-a-day 50000 --megapixels 12 --hours 10 --peak 4
  cutstream plan --photos-a-day 20000 --megapixels 6 --deadline 3 --prices prices.toml
  cutstream plan --photos-a-day 1000000 --hours 8 --peak 1 --utilisation 0.9 --spare 0 --json

With --json, `values` has each result under its name, and `sections` the steps with their arithmetic.
"""


def plan(
    photos_a_day: Annotated[float, typer.Option(min=1, max=1e12, help="Photos on a busy day.")],
    megapixels: Annotated[float, typer.Option(min=0.01, max=200, help="Millions of pixels of a usual photo.")] = 12,
    profile: Annotated[str, typer.Option(help="The profile that cuts them out.")] = "fast",
    deadline: Annotated[
        float | None, typer.Option(min=0.01, max=86_400, help="Seconds in which 99 of 100 photos are to be done.")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.1, max=24, help="Hours of the day in which the photos come.")] = 24,
    peak: Annotated[
        float, typer.Option(min=1, max=1000, help="How many times the mean rate the busiest minutes bring.")
    ] = 3,
    output: Annotated[str, typer.Option(help="File format of the outputs: png or webp.")] = "png",
    outputs: Annotated[int, typer.Option(min=1, max=10, help="Outputs for each photo.")] = 1,
    gpu_ms: Annotated[
        float | None,
        typer.Option(min=0.01, max=60_000, help="Run Triton on GPUs, one of which takes so long for a photo."),
    ] = None,
    cores: Annotated[int, typer.Option(min=1, max=64, help="Cores of each worker.")] = 2,
    utilisation: Annotated[
        float, typer.Option(min=0.05, max=0.95, help="How busy workers and Triton may be at the peak.")
    ] = 0.7,
    spare: Annotated[
        int, typer.Option(min=0, max=100, help="Workers, and servers or GPUs for Triton, that may fail unnoticed.")
    ] = 1,
    keep_days: Annotated[float, typer.Option(min=0, max=36_500, help="Days for which outputs are kept.")] = 30,
    prices: Annotated[
        Path | None, typer.Option(help="TOML file of prices. docs/scaling.md shows one. Without it there is no cost.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what so many photos a day need: workers, partitions, Triton, brokers, requests, bandwidth and cost.

    It asks no server and shows the arithmetic, from service times that benchmarks/service_times.py has measured.
    docs/scaling.md explains the model, and how far it was checked.
    """
    from cutstream.errors import InvalidOption
    from deploy.capacity.measured import load
    from deploy.capacity.plan import Choices, Demand, make_plan
    from deploy.capacity.prices import read_prices

    with named_errors():
        measured = load()
        if output not in measured.encode:
            raise InvalidOption(f"--output {output}: use one of {', '.join(measured.encode)}")
        demand = Demand(photos_a_day, megapixels, profile, deadline, peak, hours, output, outputs)
        choices = Choices(
            cores_per_worker=cores, utilisation=utilisation, spare=spare, keep_days=keep_days, gpu_ms=gpu_ms
        )
        sheet = make_plan(demand, measured, choices, read_prices(prices) if prices else None)
        if as_json:
            sections: list[dict[str, Any]] = [
                {"section": title, "steps": [vars(step) for step in steps]} for title, steps in sheet
            ]
            document = {"values": sheet.values(), "measured": measured.source, "sections": sections}
            echo(json.dumps(document, ensure_ascii=False))
            return
        _show(sheet, measured.source)


_WIDTHS = 44, 17  # columns of the names and of the values


def _show(sheet: Any, source: str) -> None:
    from rich.table import Table

    from deploy.capacity.sheet import show

    for title, steps in sheet:
        out.print(f"\n{title}", style="bold", highlight=False, markup=False)
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(min_width=_WIDTHS[0], max_width=_WIDTHS[0])
        table.add_column(min_width=_WIDTHS[1], justify="right", no_wrap=True)
        table.add_column(style="dim", overflow="fold")
        for step in steps:
            how = ", ".join(filter(None, (f"= {step.formula}" if step.formula else "", step.note)))
            table.add_row(f"  {step.what}", f"{show(step.value)} {step.unit}".rstrip(), how)
        out.print(table, highlight=False)
    out.print(f"\nService times: {source}", highlight=False, markup=False, soft_wrap=True)
