"""Write requests to the stream and read results from it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from commands.console import Profile, named_errors


def submit(
    what: Annotated[
        str, typer.Argument(metavar="PATH|GLOB|ADDRESS|-", help="What to cut out; - reads names from standard input.")
    ],
    profile: Profile = None,
    outputs: Annotated[
        str, typer.Option(help="Comma-separated: cutout, mask, composite, overlay, background, layers.")
    ] = "cutout",
    format: Annotated[str, typer.Option(help="auto, png, webp, jpeg or zip.")] = "auto",
    crop: Annotated[bool, typer.Option(help="Crop to the subject.")] = False,
    crop_margin: Annotated[str | None, typer.Option(help="Margin around the crop, such as 5% or 20px.")] = None,
    background: Annotated[str, typer.Option(help="Background colour of the composite.")] = "white",
    destination: Annotated[str | None, typer.Option(help="Where the outputs go: a folder or bucket prefix.")] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            "--request",
            help="Further request fields: a JSON object, or a file that holds one (docs/topics.md).",
        ),
    ] = None,
) -> None:
    """Write one request per image and print its id and reference."""
    from cutstream.settings import addressed, load
    from producer.submitting import references, request_fields, submit_references

    with named_errors():
        options: dict[str, Any] = {
            "profile": profile,
            "outputs": outputs.split(","),
            "format": format,
            "crop": crop,
            "crop_margin": crop_margin,
            "background": {"color": background},
            "destination": destination,
            **request_fields(fields),
        }
        for id, reference in submit_references(addressed(load()).kafka, references(what, sys.stdin), options):
            typer.echo(f"{id}\t{reference}")


def results(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new results until Ctrl-C.")] = False,
) -> None:
    """Print committed results as JSON lines."""
    from cutstream.clients.kafka import TopicReader
    from cutstream.settings import addressed, load

    with named_errors():
        kafka = addressed(load()).kafka
        reader = TopicReader(kafka, kafka.results_topic)
        reader.start()
        try:
            while records := reader.poll(1.0) or follow:
                for record in records if isinstance(records, list) else ():
                    sys.stdout.write(record.value.decode() + "\n")
                sys.stdout.flush()
        except KeyboardInterrupt:
            pass  # how --follow ends
        finally:
            reader.close()
