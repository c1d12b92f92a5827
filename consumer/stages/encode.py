from __future__ import annotations

import json

from consumer.jobs import Composed, Encoded, File, Job
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.compose import Output
from cutstream.contract.messages import Request
from cutstream.contract.recipe import file_format
from cutstream.images import Image, Pixels, archive
from cutstream.images.encode import EXTENSIONS, MEDIA_TYPES, Format
from cutstream.images.encode import encode as encode_picture

MANIFEST = "layers.json"


def encode(ops: ArrayOps, job: Job, value: Composed) -> Encoded:
    return Encoded(tuple(_file(ops, job.request, output, value.image) for output in value.outputs), value.findings)


def _file(ops: ArrayOps, request: Request, output: Output, source: Image) -> File:
    with ops.errors():
        layers = {layer.name: ops.to_host(layer.pixels) for layer in output.layers}  # sync: encoders read host memory
    height, width = output.layers[0].pixels.shape[:2]
    chosen = file_format(request, output.name)
    if chosen == "zip":
        data = _archive(layers, request, source, manifest=output.name == "layers")
        return File(output.name, data, archive.MEDIA_TYPE, archive.EXTENSION, width, height)
    (pixels,) = layers.values()
    data = _picture(pixels, chosen, request, source)
    return File(output.name, data, MEDIA_TYPES[chosen], EXTENSIONS[chosen], width, height)


def _archive(layers: dict[str, Pixels], request: Request, source: Image, manifest: bool) -> bytes:
    files = {}
    for name, pixels in layers.items():
        opaque = pixels.ndim == 3 and pixels.shape[2] == 3
        chosen: Format = "webp" if request.format == "webp" else "jpeg" if opaque else "png"
        files[f"{name}.{EXTENSIONS[chosen]}"] = _picture(pixels, chosen, request, source)
    return archive.pack({**(_manifest(files, layers) if manifest else {}), **files})


def _manifest(files: dict[str, bytes], layers: dict[str, Pixels]) -> dict[str, bytes]:
    """What an editor needs to lay them over each other: all of one size, straight alpha, lowest first."""
    height, width = next(iter(layers.values())).shape[:2]
    named = [{"name": name, "file": file} for name, file in zip(layers, files, strict=True)]
    return {MANIFEST: json.dumps({"width": width, "height": height, "layers": named}, indent=1).encode()}


def _picture(pixels: Pixels, format: Format, request: Request, source: Image) -> bytes:
    kept = request.keep_metadata
    return encode_picture(
        pixels, format, request.quality, icc=source.icc if kept else None, dpi=source.dpi if kept else None
    )
