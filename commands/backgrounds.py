"""Manage the background catalogue: the pictures that requests name in `background.image`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.attaching import reached
from commands.console import echo, named_errors, out


def add_background(
    name: Annotated[str, typer.Argument(help="A name of 1 to 100 letters, digits and any of . _ -")],
    picture: Annotated[
        str,
        typer.Argument(metavar="FILE|ADDRESS", help="A file on this machine, or an address that a request could name."),
    ],
) -> None:
    """Add a picture to the catalogue. Requests then give its name as background.image.

    The picture is stored at the deployment's destination. A name that exists gets the new picture.
    """
    from cutstream.clock import SystemClock
    from cutstream.settings import load
    from producer.backgrounds import add

    with named_errors():
        entry = add(reached(load()), name, picture, SystemClock())
        echo(f"{name}: {entry.width}×{entry.height}, {entry.uri}")


def list_backgrounds() -> None:
    """List the names in the catalogue with size, digest and date of their pictures."""
    from rich.table import Table

    from cutstream.settings import load
    from producer.backgrounds import list_entries

    table = Table("name", "size", "bytes", "sha256", "added")
    with named_errors():
        for name, entry in list_entries(reached(load()).kafka).items():
            size, added = f"{entry.width}×{entry.height}", entry.added.isoformat()
            table.add_row(name, size, f"{entry.bytes:,}", entry.sha256[:12], added)
    out.print(table)


def remove_background(name: Annotated[str, typer.Argument(help="A name in the catalogue.")]) -> None:
    """Remove a name from the catalogue. Requests that use it fail from now on; its picture stays in the store."""
    from cutstream.settings import load
    from producer.backgrounds import remove

    with named_errors():
        entry = remove(reached(load()).kafka, name)
        echo(f"{name}: removed. Its picture stays in the store, for requests in progress: {entry.uri}")
