"""Model weights, and the model repository that Triton serves."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from commands.console import named_errors, out


def list_models() -> None:
    """What the catalogue knows, and what is here."""
    from cutstream.settings import load
    from export.weights.store import model_statuses

    table = Table("model", "licence", "here", "source")
    with named_errors():
        for entry in model_statuses(load().models):
            table.add_row(entry.name, entry.licence, "yes" if entry.present else "no", entry.source)
    out.print(table)


def pull_weights(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all that the profiles need.")] = None,
) -> None:
    """Bring weights into the store, from the mirror folder first."""
    from cutstream.settings import load
    from export.weights.store import pull

    with named_errors():
        for path in pull(load().models, names or []):
            typer.echo(path)


def verify_weights(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all that the profiles need.")] = None,
) -> None:
    """Read the stored weights anew and compare their digests."""
    from cutstream.settings import load
    from export.weights.store import verify

    with named_errors():
        for path in verify(load().models, names or []):
            typer.echo(f"{path}: good")


def render_repository() -> None:
    """Write the model repository for a Triton of your own, on its machine, from the settings; print where."""
    from cutstream.settings import load
    from export.repository.render import render

    with named_errors():
        typer.echo(render(load()))
