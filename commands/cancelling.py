"""Call requests off."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from commands.attaching import reached
from commands.console import echo, named_errors, out

Ids = Annotated[list[str] | None, typer.Option("--id", help="A request's id. May be given several times.")]
IdFile = Annotated[
    Path | None,
    typer.Option("--ids", metavar="FILE|-", help="File of ids, one on each line, for instance the output of `submit`."),
]
LabelOptions = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME=VALUE", help="A label. With several, a request must have all of them."),
]
BatchOption = Annotated[
    str | None, typer.Option("--batch", help="The batch that `cutstream submit` printed: short for --label batch=…")
]


def cancel(
    context: typer.Context,
    ids: Ids = None,
    id_file: IdFile = None,
    labels: LabelOptions = None,
    batch: BatchOption = None,
    expires: Annotated[
        str, typer.Option(help="Age at which the cancellation is dropped: longer than any request waits.")
    ] = "7d",
) -> None:
    """Call off requests that were written before now. Each ends with one result of status `cancelled`.

    Requests that have finished keep their results. Later requests with the same id or labels are not affected.
    `cutstream cancel list` shows what is called off, `cutstream cancel undo` withdraws it.
    """
    if context.invoked_subcommand is not None:
        return
    from commands.times import parse_age
    from cutstream.clock import SystemClock
    from cutstream.settings import load
    from producer import cancelling

    with named_errors():
        named, wanted = _ids(ids, id_file), _labels(labels, batch)
        before = cancelling.cancel(reached(load()).kafka, named, wanted, SystemClock(), parse_age(expires))
        echo(
            f"Called off: {_describe(named, wanted)}, as far as written before {before:%Y-%m-%dT%H:%M:%SZ} by this "
            "machine's clock. `cutstream results` shows them as they end."
        )


def undo(
    ids: Ids = None,
    id_file: IdFile = None,
    labels: LabelOptions = None,
    batch: BatchOption = None,
) -> None:
    """Withdraw a cancellation. Requests that have ended as `cancelled` stay so."""
    from cutstream.settings import load
    from producer import cancelling

    with named_errors():
        named, wanted = _ids(ids, id_file), _labels(labels, batch)
        cancelling.undo(reached(load()).kafka, named, wanted)
        echo(f"No longer called off: {_describe(named, wanted)}.")


def list_cancellations() -> None:
    """List what is called off."""
    from rich.table import Table

    from cutstream.clock import SystemClock
    from cutstream.settings import load
    from producer import cancelling

    table = Table("requests", "written before", "dropped after")
    with named_errors():
        for entry in cancelling.list_cancellations(reached(load()).kafka, SystemClock()):
            what = _describe([entry.id] if entry.id else [], entry.labels)
            times = (time.isoformat(timespec="seconds") for time in (entry.cancelled, entry.expires))
            table.add_row(Text(what), *times)
    out.print(table)


def _ids(ids: Sequence[str] | None, file: Path | None) -> list[str]:
    from cutstream.errors import InvalidOption
    from producer.cancelling import read_ids

    if file is None:
        return list(ids or ())
    try:
        lines = sys.stdin.readlines() if str(file) == "-" else file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidOption(f"--ids {file} cannot be read: {exc}") from exc
    return [*(ids or ()), *read_ids(lines)]


def _labels(labels: Sequence[str] | None, batch: str | None) -> dict[str, str]:
    from commands.labels import parse_labels

    return parse_labels([*(labels or ()), *([f"batch={batch}"] if batch else ())])


def _describe(ids: Sequence[str], labels: dict[str, str]) -> str:
    if labels:
        return "requests with " + " and ".join(f"{name}={value}" for name, value in labels.items())
    return f"request {ids[0]}" if len(ids) == 1 else f"{len(ids)} requests, by id"
