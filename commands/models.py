"""Manage model weights, and write the model repository that Triton serves."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from commands.console import echo, named_errors, out


def list_models() -> None:
    """List all models with their licences, and whether their weights are present."""
    from cutstream.settings import load
    from export.weights.store import model_statuses

    table = Table("model", "licence", "present", "source")
    with named_errors():
        for entry in model_statuses(load().models):
            table.add_row(entry.name, entry.licence, "yes" if entry.present else "no", entry.source)
    out.print(table)


def pull_weights(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models. Defaults to all that the served profiles need.")
    ] = None,
) -> None:
    """Copy weights into the store from the mirror folder, or download them if they are not there."""
    from cutstream.settings import load
    from export.weights.store import pull

    with named_errors():
        for path in pull(load().models, names or []):
            echo(path)


def verify_weights(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models. Defaults to all that the served profiles need.")
    ] = None,
) -> None:
    """Read the stored weights and check their digests."""
    from cutstream.settings import load
    from export.weights.store import verify

    with named_errors():
        for path in verify(load().models, names or []):
            echo(f"{path}: good")


def render_repository() -> None:
    """Write the model repository for your own Triton, on the machine where Triton runs, and print its path."""
    from cutstream.settings import load
    from export.repository.render import render

    with named_errors():
        echo(render(load()))
