"""Run the whole system on this machine: Kafka, Triton, a worker and the HTTP gateway."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import Profile, named_errors, out, program, say
from commands.preflight import check_deployment
from commands.serving import check_profiles, own_stack, render_models

if TYPE_CHECKING:
    from rich.table import Table

    from cutstream.settings import GatewaySettings, Settings, WorkerSettings

UP_EXAMPLES = """\
Examples:

  cutstream up
  CUTSTREAM_OBJECTS__FILE_ROOTS=$HOME/photos cutstream up
  CUTSTREAM_STACK__PORT_OFFSET=100 cutstream up
"""
DEMO_EXAMPLES = """\
Examples:

  cutstream demo
  cutstream demo --photos ~/photos --out cutouts

For your own photos, `cutstream cut photos/ cutouts/` keeps their names and can be stopped and gone on with.
"""


def up() -> None:
    """Start Kafka, Triton, a worker and the HTTP gateway on this machine and keep them running until Ctrl-C.

    One that dies is started again. A line shows what is done and left; `cutstream top` shows more.

    If one dies six times in a row within 15 s of being ready, or needs you, all are stopped. The last line says why.
    """
    import consumer
    import producer.gateway
    from commands.watching.progress import shown_progress
    from cutstream.settings import load
    from deploy.local.elsewhere import announced
    from deploy.local.running import running_stack, wait_until_stopped

    with named_errors():
        settings = beside_stack(load())
        check_deployment(settings)
        with_uploads = readable_uploads(settings)
        stopping = threading.Event()
        with (
            ExitStack() as shown,
            running_stack(with_uploads, consumer.COMMAND, say, prepare, producer.gateway.COMMAND) as stack,
            announced(stack.settings, say),
        ):
            out.print(addresses(stack.settings, with_gateway=True))
            out.print(f"Ready after {stack.ready_s:.1f} s. Press Ctrl-C to stop.")
            for line in next_steps(settings.objects.file_roots, needed_variables()):
                out.print(line, soft_wrap=True, highlight=False, markup=False)
            worker = stack.settings.worker
            shown.enter_context(
                shown_progress(worker_address(worker), worker.metrics_token, stopping, stack.settings.kafka.retry_topic)
            )
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


def prepare(settings: Settings) -> None:
    """Render the models, and make the folder for uploads: the worker asks whether it is there."""
    from producer.gateway.gateway import uploads_folder

    render_models(settings)
    if folder := uploads_folder(settings):
        folder.mkdir(parents=True, exist_ok=True)


def beside_stack(settings: Settings) -> Settings:
    """Return the settings with the gateway's jobs in the stack's state folder, unless they name another place."""
    if "state" in settings.gateway.model_fields_set:
        return settings
    gateway = settings.gateway.model_copy(update={"state": settings.stack.state / "gateway"})
    return settings.model_copy(update={"gateway": gateway})


def readable_uploads(settings: Settings) -> Settings:
    """Return the settings with the folder of the gateway's uploads, if it is one, among those that workers may read."""
    from producer.gateway.gateway import uploads_folder

    folder = uploads_folder(settings)
    if folder is None or folder in settings.objects.file_roots:
        return settings
    objects = settings.objects.model_copy(update={"file_roots": (*settings.objects.file_roots, folder)})
    return settings.model_copy(update={"objects": objects})


def addresses(settings: Settings, with_gateway: bool = False) -> Table:
    """List the addresses of this stack's servers."""
    from rich.table import Table

    from cutstream.settings import identity_of

    worker = worker_address(settings.worker)
    table = Table(show_header=False, box=None)
    if with_gateway:
        table.add_row("cut out photos", f"{gateway_address(settings.gateway)}/")
    if page := page_address(settings):
        table.add_row("live page", page)
    table.add_row("metrics", f"http://{worker}/metrics")
    table.add_row("health", f"http://{worker}/readyz")
    table.add_row("Kafka", settings.kafka.bootstrap_servers)
    table.add_row("Triton", settings.triton.url)
    if with_gateway:
        table.add_row("HTTP", f"{gateway_address(settings.gateway)} (docs/http.md)")
    if identity := identity_of(settings.stack):
        table.add_row("certificate", f"{identity} (docs/clients.md#the-local-stack)")
    return table


def worker_address(worker: WorkerSettings) -> str:
    from cutstream.settings import host_and_port

    return host_and_port(worker.host, worker.port)


def gateway_address(gateway: GatewaySettings) -> str:
    from cutstream.settings import host_and_port

    scheme = "http" if gateway.ssl_certfile is None else "https"
    return f"{scheme}://{host_and_port(gateway.host, gateway.port)}{gateway.prefix}"


def page_address(settings: Settings) -> str | None:
    """Return the address of the live page, with its token if it asks for one. None: there is none, or nobody knows."""
    from cutstream.settings import host_and_port

    page = settings.page
    if not page.enabled or settings.page_port == 0:
        return None
    token = f"#token={page.token.get_secret_value()}" if page.token else ""
    return f"http://{host_and_port(page.host, settings.page_port)}/{token}"


def needed_variables() -> str:
    """Return this process's variables without which other commands do not find its stack, as a shell takes them.

    No secret is among them.
    """
    from cutstream.settings import given, variable
    from deploy.local.elsewhere import NEEDED

    names = {variable(section, name) for section, needed in NEEDED.items() for name in needed}
    return "".join(f"{name}={shlex.quote(value)} " for name, value in given(names).items())


def next_steps(file_roots: Sequence[Path], variables: str = "") -> list[str]:
    """Return what to do next, with commands that can be pasted into another terminal in the same folder."""
    command = f"  {variables}{program()}"
    cut, follow, watch = f"{command} cut photos/ cutouts/", f"{command} results --follow", f"{command} top"
    if file_roots:
        submit = f"{command} submit {shlex.quote(str(file_roots[0]))}"
        return ["In another terminal, in this folder, run:", cut, submit, follow, watch]
    allow = f"CUTSTREAM_OBJECTS__FILE_ROOTS={shlex.quote(str(Path.home() / 'photos'))}"
    return [
        "In another terminal, in this folder, run:",
        cut,
        follow,
        watch,
        "`cut` works with any folder of yours. Other programs, and `submit` without --out, name photos by their paths, "
        "and the worker reads those only in folders that are allowed. None is. To allow one, stop and start again, for "
        "instance with:",
        f"  {allow} {variables}{program()} up",
    ]
