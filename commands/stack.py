"""Run the whole system on this machine: Kafka, Triton and a worker."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from commands.console import Profile, named_errors, out, program, say
from commands.preflight import check_deployment
from commands.serving import check_profiles, own_stack, render_models

if TYPE_CHECKING:
    from cutstream.settings import Settings, WorkerSettings


def up() -> None:
    """Start Kafka, Triton and a worker on this machine and keep them running until Ctrl-C.

    One that dies is started again. A line shows what is done and left; `cutstream top` shows more.
    """
    import consumer
    from commands.watching.progress import shown_progress
    from cutstream.settings import load
    from deploy.local.running import running_stack, wait_until_stopped

    with named_errors():
        settings = load()
        check_deployment(settings)
        stopping = threading.Event()
        with ExitStack() as shown, running_stack(settings, consumer.COMMAND, say, render_models) as stack:
            out.print(addresses(stack.settings))
            out.print(f"Ready after {stack.ready_s:.1f} s. Press Ctrl-C to stop.")
            for line in next_steps(stack.settings.objects.file_roots):
                out.print(line, soft_wrap=True, highlight=False, markup=False)
            worker = stack.settings.worker
            shown.enter_context(shown_progress(worker_address(worker), worker.metrics_token, stopping))
            try:
                wait_until_stopped(stack)
            finally:
                stopping.set()
    out.print("Stopped.")


def demo(
    photos: Annotated[
        str | None,
        typer.Option(help="The photos: a folder, a file or a pattern. Defaults to sample photos."),
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for cutouts, contact sheet and summary.")] = Path(
        "out"
    ),
    profile: Profile = None,
) -> None:
    """Start the stack, cut out photos, write the results to a folder, and stop the stack.

    Exits with 1 if a photo failed.
    """
    from producer.demo import demo_settings, run_demo

    with named_errors():
        check_profiles([profile])
        settings, references = demo_settings(photos, out_folder, profile)
        with own_stack(settings) as stack:
            out.print(addresses(stack.settings))
            batch = run_demo(stack.settings, references, out_folder, profile, stack.check, out)
    if batch.count("ok") < len(references):
        raise typer.Exit(1)


def addresses(settings: Settings) -> Table:
    """List the addresses of this stack's servers."""
    from cutstream.settings import identity_of

    worker = worker_address(settings.worker)
    table = Table(show_header=False, box=None)
    table.add_row("metrics", f"http://{worker}/metrics")
    table.add_row("health", f"http://{worker}/readyz")
    table.add_row("Kafka", settings.kafka.bootstrap_servers)
    table.add_row("Triton", settings.triton.url)
    if identity := identity_of(settings.stack):
        table.add_row("certificate", f"{identity} (docs/clients.md#the-local-stack)")
    return table


def worker_address(worker: WorkerSettings) -> str:
    from cutstream.settings import host_and_port

    return host_and_port(worker.host, worker.port)


def next_steps(file_roots: Sequence[Path]) -> list[str]:
    """Return what to do next, with commands that can be pasted into another terminal in the same folder."""
    follow, watch = f"  {program()} results --follow", f"  {program()} top"
    if file_roots:
        submit = f"  {program()} submit {shlex.quote(str(file_roots[0]))}"
        return ["In another terminal, in this folder, run:", submit, follow, watch]
    allow = f"CUTSTREAM_OBJECTS__FILE_ROOTS={shlex.quote(str(Path.home() / 'photos'))}"
    return [
        "In another terminal, in this folder, run:",
        follow,
        watch,
        "No folder is allowed, so the worker refuses photos on this machine. To allow one, stop and start again, for "
        "instance with:",
        f"  {allow} {program()} up",
    ]
