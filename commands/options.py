"""The options that several commands share: those of a request."""

from __future__ import annotations

from typing import Annotated, Any

import typer

Outputs = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated list of cutout, mask, composite, overlay, background, layers. "
        "Defaults to composite if a background is given, else to cutout."
    ),
]
Format = Annotated[str, typer.Option(help="File format: auto, png, webp, jpeg or zip.")]
Crop = Annotated[bool, typer.Option(help="Crop the outputs to the subject.")]
CropMargin = Annotated[str | None, typer.Option(help="Margin around the cropped subject, such as 5% or 20px.")]
Background = Annotated[
    str | None, typer.Option(help="Background colour of the composite, such as red, white or #f4f4f4.")
]
RequestFields = Annotated[
    str | None,
    typer.Option("--request", help="More request fields: a JSON object, or a file that holds one. See docs/topics.md."),
]
Urgent = Annotated[bool, typer.Option("--urgent", help="Have workers read them before all other requests.")]
Again = Annotated[bool, typer.Option("--again", help="Do photos again that are done.")]
InFlight = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1_000_000,
        help="Most photos to have sent without a result. By default about 20 seconds' work, so that others who send "
        "photos do not wait behind yours.",
    ),
]


def request_fields(
    *,
    profile: str | None,
    outputs: str | None,
    format: str,
    crop: bool,
    crop_margin: str | None,
    background: str | None,
    request: str | None,
    destination: str | None = None,
) -> dict[str, Any]:
    """Return the request fields that options stand for. Raises InvalidOption."""
    from producer.submitting import combine_fields, destination_of, parse_request_fields

    options = {
        "profile": profile,
        "outputs": None if outputs is None else outputs.split(","),
        "format": format,
        "crop": crop,
        "crop_margin": crop_margin,
        "background": None if background is None else {"color": background},
        "destination": None if destination is None else destination_of(destination),
    }
    return combine_fields(options, parse_request_fields(request))
