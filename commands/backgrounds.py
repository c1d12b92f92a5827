"""The background catalogue: pictures that requests name in `background.image`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from commands.console import named_errors, out


def add_background(
    name: Annotated[str, typer.Argument(help="1 to 100 letters, digits and any of . _ -")],
    picture: Annotated[str, typer.Argument(metavar="FILE|ADDRESS", help="A file here, or an address of a source.")],
) -> None:
    """Store a picture below the default destination and give it a name, which requests then use as background.image."""
    from cutstream.clock import SystemClock
    from cutstream.settings import addressed, load
    from producer.backgrounds import add

    with named_errors():
        entry = add(addressed(load()), name, picture, SystemClock())
        typer.echo(f"{name}: {entry.width}×{entry.height}, {entry.uri}")


def list_backgrounds() -> None:
    """The names, and what each stands for."""
    from cutstream.settings import addressed, load
    from producer.backgrounds import known

    table = Table("name", "size", "bytes", "sha256", "added")
    with named_errors():
        for name, entry in known(addressed(load()).kafka).items():
            size, added = f"{entry.width}×{entry.height}", entry.added.isoformat()
            table.add_row(name, size, f"{entry.bytes:,}", entry.sha256[:12], added)
    out.print(table)


def remove_background(name: Annotated[str, typer.Argument(help="A name of the catalogue.")]) -> None:
    """Take a name out of the catalogue; requests that use it fail from then on. Its picture stays in the store."""
    from cutstream.settings import addressed, load
    from producer.backgrounds import remove

    with named_errors():
        entry = remove(addressed(load()).kafka, name)
        typer.echo(f"{name}: removed. Its picture stays, for requests that are under way: {entry.uri}")
