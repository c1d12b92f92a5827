"""The whole system on this machine: Kafka, Triton and a worker."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from commands.console import Profile, named_errors, out, program
from commands.serving import render_models

if TYPE_CHECKING:
    from cutstream.settings import Settings


def up() -> None:
    """Start Kafka, Triton and a worker on this machine and keep them running until Ctrl-C."""
    import consumer
    from cutstream.settings import load
    from deploy.local.running import running_stack, wait_until_stopped

    with named_errors(), running_stack(render_models(load()), consumer.COMMAND) as stack:
        out.print(addresses(stack.settings))
        out.print(f"ready after {stack.ready_s:.1f} s; Ctrl-C stops it. In another terminal, in this folder:")
        folders = stack.settings.objects.file_roots
        photos = shlex.quote(str(folders[0])) if folders else "PHOTOS"
        for command in (f"{program()} submit {photos}", f"{program()} results --follow"):
            out.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)
        if not folders:
            out.print(
                "Photos on this machine are refused: stop, and start again with their folder in "
                "CUTSTREAM_OBJECTS__FILE_ROOTS, for instance\n"
                f"  CUTSTREAM_OBJECTS__FILE_ROOTS={shlex.quote(str(Path.home() / 'photos'))} make up",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )
        wait_until_stopped(stack)
    out.print("stopped")


def demo(
    photos: Annotated[
        str | None, typer.Option(help="Folder, file or glob pattern. Defaults to the demo's own photos.")
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for cutouts, contact sheet and summary.")] = Path(
        "out"
    ),
    profile: Profile = None,
) -> None:
    """Start the stack, cut out photos, write the results to a folder, and stop the stack."""
    import consumer
    from deploy.local.running import running_stack, throwaway
    from producer.demo import demo_settings, run_demo

    with named_errors():
        settings, references = demo_settings(photos, out_folder)
        with throwaway(settings) as own, running_stack(render_models(own), consumer.COMMAND) as stack:
            out.print(addresses(stack.settings))
            run_demo(stack.settings, references, out_folder, profile, stack.check, out)


def addresses(settings: Settings) -> Table:
    """List where the servers of this stack can be reached."""
    table = Table(show_header=False, box=None)
    table.add_row("Kafka", settings.kafka.bootstrap_servers)
    table.add_row("Triton", settings.triton.url)
    table.add_row("metrics", f"http://{settings.worker.host}:{settings.worker.port}/metrics")
    table.add_row("health", f"http://{settings.worker.host}:{settings.worker.port}/readyz")
    return table
