"""The demo: send photos through the running stack with a progress bar, then write a contact sheet and a summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cutstream.clients.objects.files import path_of
from cutstream.clients.objects.store import ObjectStore
from cutstream.contract.building import make_request_id
from cutstream.contract.messages import Request
from cutstream.errors import ConfigurationError
from cutstream.folders import make_folder
from cutstream.profiles import AUTO
from cutstream.settings import Settings, load
from producer.collecting import write_contact_sheet, write_summary
from producer.following import Batch, RequestFollower
from producer.submitting import find_references

# Photos with a clear subject that come with the scikit-image package, so the demo downloads nothing.
SAMPLE_PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")


def demo_settings(photos: str | None, out_folder: Path, profile: str | None = None) -> tuple[Settings, list[str]]:
    """Return the deployment's settings, adapted to the demo, and the addresses of the photos to send.

    The worker may read the photos' folders and the output folder, and the output folder is the destination. It serves
    the profile besides those of the settings.
    """
    references = list(find_references(photos, ())) if photos else _sample_references()
    make_folder("--out", out_folder)
    photo_folders = {_local_path(reference).parent for reference in references if reference.startswith("file://")}
    settings = load()
    roots = tuple(sorted({*settings.objects.file_roots, *photo_folders, out_folder.absolute()}))
    objects = settings.objects.model_copy(update={"file_roots": roots, "destination": out_folder.absolute().as_uri()})
    served = settings.models.profiles
    if profile and profile not in (AUTO, *served):
        served = (*served, profile)
    models = settings.models.model_copy(update={"profiles": served})
    return settings.model_copy(update={"objects": objects, "models": models}), references


def run_demo(
    settings: Settings,
    references: Sequence[str],
    out_folder: Path,
    profile: str | None,
    check_stack: Callable[[], None],
    console: Console,
) -> Batch:
    """Send the photos through the stack and write the summary and the contact sheet.

    `check_stack` is called while results are awaited and raises if the stack has died.
    """
    requests = [Request(image=reference, id=make_request_id(reference), profile=profile) for reference in references]
    with RequestFollower(settings.kafka) as follower, _progress_bar(console) as progress:
        task = progress.add_task("cutting out", total=len(requests), rate=0.0)

        def show(batch: Batch) -> None:
            check_stack()
            done = len(batch.results)
            elapsed = progress.tasks[0].elapsed or 0.0
            progress.update(task, completed=done, rate=done / elapsed if elapsed else 0.0)

        batch = follower.follow(requests, on_progress=show)
    summary = write_summary(batch, out_folder)
    sheet = write_contact_sheet(batch, out_folder, ObjectStore(settings.objects, settings.limits).fetch)
    console.print(summary_table(batch, summary, sheet))
    return batch


def summary_table(batch: Batch, summary: Path, sheet: Path | None) -> Table:
    table = Table(show_header=False, box=None)
    rows: list[tuple[str, Any]] = [
        ("photos", len(batch.requests)),
        ("ok", batch.count("ok")),
        ("failed", len(batch.results) - batch.count("ok")),
        ("images/s", f"{batch.images_per_second:.1f}"),
        ("latency", f"p50 {batch.latency_ms(0.5):.0f} ms, p95 {batch.latency_ms(0.95):.0f} ms"),
        ("summary", summary),
        ("contact sheet", sheet or "none: no photo succeeded"),
    ]
    for name, value in rows:
        table.add_row(name, Text(str(value)))
    for result in batch.results.values():
        if result.error is not None:
            table.add_row("failed", Text(f"{result.id}: {result.error.code}: {result.error.message}"))
        for warning in result.warnings:
            table.add_row("warning", Text(f"{result.id}: {warning.code}: {warning.message}"))
    return table


def sample_photos_folder() -> Path:
    """Return the folder of scikit-image's photos. Raises ConfigurationError if the package is missing."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the demo's photos come with scikit-image, which is missing: run `make setup`, or name photos of your own"
        )
    return Path(spec.origin).parent / "data"


def _sample_references() -> list[str]:
    folder = sample_photos_folder()
    return [(folder / name).as_uri() for name in SAMPLE_PHOTOS if (folder / name).is_file()]


def _progress_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} img/s"),
        TimeElapsedColumn(),
        console=console,
    )


def _local_path(uri: str) -> Path:
    return Path(path_of(uri))
