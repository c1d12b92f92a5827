"""Write requests to the stream and read results from it."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from commands.console import Profile, echo, err, named_errors, program
from commands.serving import worker_objects


def submit(
    photos: Annotated[
        str,
        typer.Argument(
            metavar="PATH|GLOB|ADDRESS|-",
            help="The photos: a file, a folder, a pattern, an address, or - to read these from standard input.",
        ),
    ],
    profile: Profile = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated list of cutout, mask, composite, overlay, background, layers. "
            "Defaults to composite if a background is given, else to cutout."
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="File format: auto, png, webp, jpeg or zip.")] = "auto",
    crop: Annotated[bool, typer.Option(help="Crop the outputs to the subject.")] = False,
    crop_margin: Annotated[
        str | None, typer.Option(help="Margin around the cropped subject, such as 5% or 20px.")
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="Background colour of the composite, such as red or #f4f4f4.")
    ] = None,
    destination: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|ADDRESS",
            help="A folder, or an address such as s3://bucket/prefix, for the outputs. Defaults to the deployment's "
            "destination.",
        ),
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(help="More request fields: a JSON object, or a file that holds one. See docs/topics.md."),
    ] = None,
    urgent: Annotated[bool, typer.Option("--urgent", help="Have workers read them before all other requests.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Send photos even if a worker with these settings would refuse them all.")
    ] = False,
) -> None:
    """Write one request per photo; print each request's id and the photo's address.

    All requests get the same label `batch`, which `cutstream cancel --batch` takes.
    """
    from cutstream.settings import addressed, load
    from producer.prechecking import refusal_by, warn_of_refusals
    from producer.submitting import (
        combine_fields,
        destination_of,
        find_references,
        make_batch_id,
        parse_request_fields,
        submit_references,
        with_batch_label,
    )

    with named_errors():
        options = {
            "profile": profile,
            "outputs": None if outputs is None else outputs.split(","),
            "format": format,
            "crop": crop,
            "crop_margin": crop_margin,
            "background": None if background is None else {"color": background},
            "destination": None if destination is None else destination_of(destination),
        }
        fields = with_batch_label(combine_fields(options, parse_request_fields(request)), make_batch_id())
        written = 0
        try:
            settings, references = load(), find_references(photos, sys.stdin)
            if not anyway:
                refusal = refusal_by(worker_objects(settings), settings.limits, fields)
                references = warn_of_refusals(references, refusal, _warn)
            for id, reference in submit_references(addressed(settings).kafka, references, fields, urgent=urgent):
                written += 1
                echo(f"{id}\t{reference}")
        finally:
            if written:  # also after Ctrl-C: a mistake is noticed while it is made
                err.print(*_how_to_cancel(fields["labels"]["batch"]), soft_wrap=True, highlight=False, markup=False)


def _warn(text: str) -> None:
    err.print(f"warning: {text}", soft_wrap=True, highlight=False, markup=False)


def _how_to_cancel(batch: str) -> tuple[str, ...]:
    return (f"Batch {batch}. To call it off:", f"{program()} cancel --batch {shlex.quote(batch)}")


def results(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for new results and print them, until Ctrl-C.")
    ] = False,
) -> None:
    """Print all committed results, one JSON object per line."""
    from cutstream.printable import printable
    from cutstream.settings import addressed, load
    from producer.following import read_results

    with named_errors():
        try:
            for lines in read_results(addressed(load()).kafka, follow):
                sys.stdout.writelines(f"{printable(line)}\n" for line in lines)
                sys.stdout.flush()
        except KeyboardInterrupt:
            if not follow:
                raise
