"""The graph that Triton serves for a network: the joined one in fp32, or an exported one from the store."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import msgspec
import onnx
from onnx import ModelProto

from cutstream.errors import ConfigurationError, WeightsMissing
from cutstream.settings import GraphPrecision, ModelSettings
from export.glue.join import join
from export.profiles import glue_file, size_of
from export.weights.catalogue import Model
from export.weights.store import require_weights, sha256


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON file beside an exported graph: its source, and how far its mattes differ from fp32.

    `graph` is the digest on its receipts: that of the file without them.
    """

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
    graph: str = ""  # files of earlier releases have no receipts

    def summary(self) -> str:
        return (
            f"{self.nodes} nodes of {self.nodes_before}; compared with fp32 on {self.photos} photos: "
            f"mean IoU {self.mean_iou:.4f}, lowest {self.min_iou:.4f}; "
            f"mean difference {self.mean_difference:.2f} grey levels, highest {self.max_difference}"
        )


def build_graph(model: Model, weights: Path, height: int, width: int) -> ModelProto:
    """Return the served graph in fp32, with u8 inputs and outputs and a free batch."""
    return onnx.load(weights) if model.shipped else join(model, weights, height, width)


def source_digest(model: Model, weights: Path, height: int, width: int) -> str:
    """Return the digest of the weights, the glue and how they are connected."""
    if model.shipped:
        return sha256(weights)
    names = (model.normalise, model.activate, "image_resize", "map_resize")
    glue = [glue_file(name).read_bytes() for name in names]
    wiring = msgspec.json.encode((model.gives, model.constants, model.height, model.width, height, width))
    return hashlib.sha256(b"".join([weights.stem.encode(), *glue, wiring])).hexdigest()


def stored_path(model: Model, precision: GraphPrecision, settings: ModelSettings, suffix: str = ".onnx") -> Path:
    """Return the path in the store. A folder apart, because files beside the weights count as weights."""
    return settings.store / "served" / f"{model.name}.{precision}{suffix}"


def require_stored_graph(model: Model, precision: GraphPrecision, settings: ModelSettings) -> Path:
    """Return the stored graph of this precision. Raise WeightsMissing unless it fits the weights and the glue.

    Copies nothing: a check of the settings asks, too.
    """
    path = stored_path(model, precision, settings)
    local = require_weights(model, settings)
    # The digest is of a shipped network itself, and of the name under which the store has or would have others.
    weights = local.path if model.shipped else local.stored_in(settings.store)
    problem = _problem(path, source_digest(model, weights, *size_of(model.served_step)))
    if problem:
        raise WeightsMissing(f"{path} {problem}: make it with `{export_command(model, precision)}`")
    return path


def export_command(model: Model, precision: GraphPrecision) -> str:
    photos = " --photos FOLDER" if precision == "int8" else ""
    return f"cutstream export {model.name} --precision {precision}{photos}"


def report_path(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def write_atomically(file: Path, data: bytes) -> None:
    """Write a file at once, and its folder if need be. Raises ConfigurationError if it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            part = Path(folder) / file.name
            part.write_bytes(data)
            part.replace(file)
    except OSError as exc:
        raise ConfigurationError(
            f"{file} cannot be written ({exc.strerror}): name another place (--out, CUTSTREAM_MODELS__STORE)"
        ) from exc


def _problem(path: Path, source: str) -> str:
    if not (path.is_file() and report_path(path).is_file()):
        return "is missing"
    report = msgspec.json.decode(report_path(path).read_bytes(), type=ExportReport)
    if report.source != source:
        return "is made from other weights or other glue"
    if not report.graph:
        return "is made by an earlier release, without receipts"
    return "" if sha256(path) == report.sha256 else "is damaged"
