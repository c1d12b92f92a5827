"""The graph that is served for a net's step: in f32 as it is joined, or in another precision as it was exported."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import msgspec
import onnx
from onnx import ModelProto

from cutstream.errors import WeightsMissing
from cutstream.settings import GraphPrecision, ModelSettings
from export.repository.join import join
from export.repository.profiles import glue_file, size_of
from export.weights.catalogue import Model, require, sha256


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What lies beside an exported graph: of what it is made, and how far its mattes are from f32."""

    model: str
    precision: GraphPrecision
    source: str
    sha256: str
    nodes_before: int
    nodes: int
    photos: int
    max_difference: int
    mean_difference: float
    mean_iou: float
    min_iou: float

    def told(self) -> str:
        return (
            f"{self.nodes} nodes of {self.nodes_before}; against f32 on {self.photos} photos: IoU {self.mean_iou:.4f} "
            f"(lowest {self.min_iou:.4f}), difference {self.mean_difference:.2f} grey levels on average, "
            f"{self.max_difference} at most"
        )


def graph_of(model: Model, weights: Path, height: int, width: int) -> ModelProto:
    """u8 in, u8 out, in f32, for any batch."""
    return onnx.load(weights) if model.shipped else join(model, weights, height, width)


def source_digest(model: Model, weights: Path, height: int, width: int) -> str:
    """Of weights, glue and wiring."""
    if model.shipped:
        return sha256(weights)
    names = (model.normalise, model.activate, "image_resize", "map_resize")
    glue = [glue_file(name).read_bytes() for name in names]
    wiring = msgspec.json.encode((model.gives, model.constants, model.height, model.width, height, width))
    return hashlib.sha256(b"".join([weights.stem.encode(), *glue, wiring])).hexdigest()


def place_of(model: Model, precision: GraphPrecision, settings: ModelSettings, suffix: str = ".onnx") -> Path:
    """In the store, in a folder of its own: what lies beside the weights counts as weights."""
    return settings.store / "served" / f"{model.name}.{precision}{suffix}"


def require_written(model: Model, precision: GraphPrecision, settings: ModelSettings) -> Path:
    """The stored graph of this precision if it is of these weights and this glue; else WeightsMissing."""
    path = place_of(model, precision, settings)
    why = _not_right(path, source_digest(model, require(model, settings), *size_of(model.fills)))
    if why:
        raise WeightsMissing(f"{path} {why}: `{command(model, precision)}` makes it")
    return path


def command(model: Model, precision: GraphPrecision) -> str:
    photos = " --photos FOLDER" if precision == "int8" else ""
    return f"cutstream export {model.name} --precision {precision}{photos}"


def report_of(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def put(file: Path, data: bytes) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        part = Path(folder) / file.name
        part.write_bytes(data)
        part.replace(file)


def _not_right(path: Path, source: str) -> str:
    if not (path.is_file() and report_of(path).is_file()):
        return "is missing"
    written = msgspec.json.decode(report_of(path).read_bytes(), type=Written)
    if written.source != source:
        return "is made of other weights or glue"
    return "" if sha256(path) == written.sha256 else "is damaged"
