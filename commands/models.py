"""Manage model weights, and write the model repository that Triton serves."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.console import echo, named_errors, out


def list_models() -> None:
    """List all models: the profiles that use them, the size of their weights, whether these are present, and licences.

    `cutstream models pull NAME` fetches weights. A model without a size is exported from a checkpoint (`export`).
    """
    from rich.table import Table

    from cutstream.settings import load
    from export.weights.store import model_statuses

    table = Table("model", "profiles", "size", "present", "licence", "source", box=None)
    for column in table.columns:
        column.overflow = "fold"  # a name that is cut off cannot be pasted
    table.columns[0].no_wrap = table.columns[2].no_wrap = True
    with named_errors():
        for entry in model_statuses(load().models):
            size = "" if entry.bytes is None else f"{entry.bytes / 1e6:.1f} MB"
            present = "yes" if entry.present else "no"
            table.add_row(entry.name, ", ".join(entry.profiles), size, present, entry.licence, entry.source)
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
