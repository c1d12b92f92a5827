from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from consumer.jobs import Composed, Encoded, File, Job
from cutstream.arrays.ops import ArrayOps
from cutstream.compositing.compose import Output
from cutstream.contract.recipe import EncodingSpec
from cutstream.images import Format, Image, ImageWarning, Pixels, archive
from cutstream.images.encode import EXTENSIONS, MEDIA_TYPES, Convert, encode, holds_profile, holds_resolution

MANIFEST = "layers.json"


@dataclass(frozen=True)
class Encode:
    """Turn each output into the bytes of a file; pixels come back from the device here.

    `to_profile` converts colours to the profile of a photo, outside the worker: the profile is a stranger's.
    """

    ops: ArrayOps
    to_profile: Convert

    def __call__(self, job: Job, value: Composed) -> Encoded:
        spec = job.recipe.encoding
        files = tuple(self._file(output, spec, value.source) for output in value.outputs)
        return Encoded(files, value.findings, self._warnings(value, spec))

    def kept_bytes(self, job: Job, encoded: Encoded) -> int:
        """Return what this photo holds until it is stored: no pixels, however long its destination is away."""
        return sum(len(file.data) for file in encoded.files)

    def _file(self, output: Output, spec: EncodingSpec, source: Image) -> File:
        with self.ops.errors():
            layers = {layer.name: self.ops.to_host(layer.pixels) for layer in output.layers}  # sync: encoders need it
        height, width = output.layers[0].pixels.shape[:2]
        format = spec.formats[output.name]
        if format == "zip":
            data = self._archive(layers, spec, source, with_manifest=output.name == "layers")
            return File(output.name, data, archive.MEDIA_TYPE, archive.EXTENSION, width, height)
        (pixels,) = layers.values()
        data = self._encode(pixels, format, spec, source)
        return File(output.name, data, MEDIA_TYPES[format], EXTENSIONS[format], width, height)

    def _archive(self, layers: dict[str, Pixels], spec: EncodingSpec, source: Image, with_manifest: bool) -> bytes:
        files = {}
        for name, pixels in layers.items():
            format = _layer_format(pixels, spec)
            files[f"{name}.{EXTENSIONS[format]}"] = self._encode(pixels, format, spec, source)
        return archive.pack({**(_manifest(files, layers) if with_manifest else {}), **files})

    def _encode(self, pixels: Pixels, format: Format, spec: EncodingSpec, source: Image) -> bytes:
        icc, dpi = (source.icc, source.dpi) if spec.keep_metadata else (None, None)
        return encode(pixels, format, spec.quality, icc=icc, dpi=dpi, convert=self.to_profile)

    def _warnings(self, value: Composed, spec: EncodingSpec) -> tuple[ImageWarning, ...]:
        """Say what the files lack of the source's metadata, if the request asks for it. A grey file has no profile."""
        if not spec.keep_metadata:
            return ()
        layers = [
            (_format_of(layer.pixels, output, spec), layer.pixels)
            for output in value.outputs
            for layer in output.layers
        ]
        formats = sorted({format for format, _ in layers})
        coloured = sorted({format for format, pixels in layers if pixels.ndim == 3})
        return (*_lost_resolution(value.source.dpi, formats), *self._lost_profile(value.source.icc, coloured))

    def _lost_profile(self, icc: bytes | None, formats: list[Format]) -> Iterator[ImageWarning]:
        lossy = [] if icc is None else [format for format in formats if not holds_profile(format, icc, self.to_profile)]
        if lossy:
            yield ImageWarning(
                "unusable_profile",
                f"keep_metadata: the source's colour profile cannot be kept in {' and '.join(lossy)}; the output is "
                "sRGB",
            )


def _lost_resolution(dpi: tuple[float, float] | None, formats: list[Format]) -> Iterator[ImageWarning]:
    lossy = [] if dpi is None else [format for format in formats if not holds_resolution(format, dpi)]
    if lossy and dpi is not None:
        yield ImageWarning(
            "unusable_metadata",
            f"keep_metadata: {' and '.join(lossy)} cannot hold the resolution of {dpi[0]:g} x {dpi[1]:g} dpi; it was "
            "left out",
        )


def _format_of(pixels: Pixels, output: Output, spec: EncodingSpec) -> Format:
    format = spec.formats[output.name]
    return _layer_format(pixels, spec) if format == "zip" else format


def _layer_format(pixels: Pixels, spec: EncodingSpec) -> Format:
    if spec.layers == "webp":
        return "webp"
    is_opaque = pixels.ndim == 3 and pixels.shape[2] == 3
    return "jpeg" if is_opaque else "png"


def _manifest(files: dict[str, bytes], layers: dict[str, Pixels]) -> dict[str, bytes]:
    """Describe the layers to an editor: all of one size, straight alpha, lowest first."""
    height, width = next(iter(layers.values())).shape[:2]
    named = [{"name": name, "file": file} for name, file in zip(layers, files, strict=True)]
    return {MANIFEST: json.dumps({"width": width, "height": height, "layers": named}, indent=1).encode()}
