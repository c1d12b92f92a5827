"""The demo: photos in, cutouts, a contact sheet and a summary out, with progress to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cutstream.contract.messages import Request
from cutstream.errors import ConfigurationError
from cutstream.settings import Settings, load
from producer.collecting import write_contact_sheet, write_summary
from producer.following import Batch, Submission
from producer.submitting import references, request_id

# Photos with a subject among the files of the scikit-image package, so that nothing is downloaded.
OWN_PHOTOS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")


def demo_settings(photos: str | None, out_folder: Path) -> tuple[Settings, list[str]]:
    """The site's settings with the photos' folder and the output folder allowed, and the references to submit."""
    found = list(references(photos, ())) if photos else _own_photos()
    out_folder.mkdir(parents=True, exist_ok=True)
    local = {Path(unquote(urlsplit(r).path)).parent for r in found if r.startswith("file://")}
    settings = load()
    roots = tuple(sorted({*settings.objects.file_roots, *local, out_folder.absolute()}))
    objects = settings.objects.model_copy(update={"file_roots": roots, "destination": out_folder.absolute().as_uri()})
    return settings.model_copy(update={"objects": objects}), found


def run_demo(
    settings: Settings,
    sources: Sequence[str],
    out_folder: Path,
    profile: str | None,
    check: Callable[[], None],
    console: Console,
) -> Batch:
    requests = [Request(image=source, id=request_id(source), profile=profile) for source in sources]
    with Submission(settings.kafka) as submission, _progress(console) as progress:
        task = progress.add_task("cutting out", total=len(requests), rate=0.0)

        def watch(batch: Batch) -> None:
            check()
            done = len(batch.results)
            elapsed = progress.tasks[0].elapsed or 0.0
            progress.update(task, completed=done, rate=done / elapsed if elapsed else 0.0)

        batch = submission.run(requests, watch=watch)
    summary = write_summary(batch, out_folder)
    sheet = write_contact_sheet(batch, out_folder, _read)
    console.print(closing_table(batch, summary, sheet))
    return batch


def closing_table(batch: Batch, summary: Path, sheet: Path | None) -> Table:
    table = Table(show_header=False, box=None)
    rows: list[tuple[str, Any]] = [
        ("photos", len(batch.requests)),
        ("ok", batch.count("ok")),
        ("failed", batch.count("failed") + batch.count("expired")),
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
    return table


def photos_folder() -> Path:
    """Where the scikit-image package has its photos. Raises ConfigurationError."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the demo's photos come from scikit-image: `make setup`, or name photos of your own")
    return Path(spec.origin).parent / "data"


def _own_photos() -> list[str]:
    folder = photos_folder()
    return [(folder / name).as_uri() for name in OWN_PHOTOS if (folder / name).is_file()]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} img/s"),
        TimeElapsedColumn(),
        console=console,
    )


def _read(uri: str) -> bytes:
    return Path(unquote(urlsplit(uri).path)).read_bytes()
