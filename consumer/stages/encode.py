from __future__ import annotations

from dataclasses import replace

from consumer.jobs import Composed, Encoded, File, Job
from cutstream.arrays.ops import ArrayOps
from cutstream.errors import InvalidOption
from cutstream.images.encode import EXTENSIONS, MEDIA_TYPES, Format
from cutstream.images.encode import encode as encode_picture
from cutstream.matting.composite import Layer
from cutstream.messages import OutputName, Request


def encode(ops: ArrayOps, job: Job, value: Composed) -> Encoded:
    with ops.errors():
        layers = [replace(layer, pixels=ops.to_host(layer.pixels)) for layer in value.layers]
    return Encoded(tuple(_file(job.request, layer, value) for layer in layers), value.findings)


def format_of(request: Request, output: OutputName) -> Format:
    """`auto` is JPEG for the opaque composite and PNG for the rest; JPEG cannot carry a cutout's transparency."""
    if request.format == "auto":
        return "jpeg" if output == "composite" else "png"
    if request.format == "jpeg" and output == "cutout" and request.channels == "rgba":
        raise InvalidOption(
            "format 'jpeg' cannot carry the transparency of output 'cutout': ask for png or webp, or for the output "
            "'composite'"
        )
    return request.format


def _file(request: Request, layer: Layer, value: Composed) -> File:
    chosen = format_of(request, layer.name)
    kept = request.keep_metadata
    data = encode_picture(
        layer.pixels,
        chosen,
        request.quality,
        icc=value.image.icc if kept else None,
        dpi=value.image.dpi if kept else None,
    )
    height, width = layer.pixels.shape[:2]
    return File(layer.name, data, MEDIA_TYPES[chosen], EXTENSIONS[chosen], width, height)
