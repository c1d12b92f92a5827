"""`cutstream export`: a served graph in a precision, to a file, once its mattes are near enough to f32."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from cutstream.errors import ConfigurationError
from cutstream.images import Pixels
from cutstream.settings import GraphPrecision, ModelSettings
from export.formats.casts import in_half, rounded
from export.formats.precision import require_close
from export.formats.quantise import in_int8
from export.formats.simplify import checked, simplify
from export.repository.parity import PHOTOS, Cut, compare, photo
from export.repository.profiles import size_of
from export.repository.served_graph import Written, graph_of, put, report_of, source_digest
from export.weights.catalogue import Model, require

MOST_PHOTOS = 128
FEW_PHOTOS = 8  # so many are needed before some are kept for judging alone
OWN_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")  # of scikit-image
UNKNOWN = 128  # of a trimap, for a net that wants one: everywhere


def write(model: Model, precision: GraphPrecision, photos: Path | None, settings: ModelSettings, to: Path) -> Written:
    """Writes the graph, simplified, and its report beside it, or raises ModelMismatch where the mattes differ too much.

    int8 is calibrated on `photos`, every second one; the others judge. Without a folder, other precisions are judged on
    photos of scikit-image. Raises WeightsMissing and ConfigurationError.
    """
    weights = require(model, settings)
    size = size_of(model.fills)
    pictures = _pictures(photos, precision, *size)
    original = graph_of(model, weights, *size)
    exact = simplify(original)
    few = len(pictures) < FEW_PHOTOS
    calibrating, judging = (pictures, pictures) if few else (pictures[::2], pictures[1::2])
    graph = checked(in_precision(exact, precision, calibrating))
    runs_here = rounded(graph) if precision == "bf16" else graph  # ONNX Runtime has no convolution in bf16 for CPUs
    parity = compare(cut(original), cut(runs_here), judging)
    require_close(parity, precision)
    data = graph.SerializeToString(deterministic=True)
    written = Written(
        model=model.name,
        precision=precision,
        source=source_digest(model, weights, *size),
        sha256=hashlib.sha256(data).hexdigest(),
        nodes_before=len(original.graph.node),
        nodes=len(graph.graph.node),
        photos=parity.photos,
        max_difference=parity.max_difference,
        mean_difference=parity.mean_difference,
        mean_iou=parity.mean_iou,
        min_iou=parity.min_iou,
    )
    put(to, data)
    put(report_of(to), msgspec.json.format(msgspec.json.encode(written)) + b"\n")
    return written


def in_precision(exact: ModelProto, precision: GraphPrecision, calibrating: Sequence[Pixels]) -> ModelProto:
    if precision == "fp32":
        return exact
    if precision == "int8":
        return in_int8(exact, [feed(exact, picture) for picture in calibrating])
    return in_half(exact, precision)


def cut(graph: ModelProto) -> Cut:
    """By ONNX Runtime on the CPU; the map of a net that gives none is taken for a matte, and so is what boxes hold."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda picture: _as_map(np.asarray(session.run(None, feed(graph, picture))[0][0]), *picture.shape[:2])


def feed(graph: ModelProto, picture: Pixels) -> dict[str, NDArray[Any]]:
    """u8 H×W×3 RGB → a batch of one for every input of the graph."""
    return {value.name: _fed(value, picture)[None] for value in graph.graph.input}


def _fed(value: ValueInfoProto, picture: Pixels) -> NDArray[Any]:
    if value.name == "image":
        return picture
    if value.name == "boxes":  # one, of the whole picture
        boxes = np.zeros([dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]], np.float32)
        boxes[0, 2:] = 1.0
        return boxes
    return np.full(picture.shape[:2], UNKNOWN, np.uint8)


def _as_map(given: NDArray[Any], height: int, width: int) -> NDArray[np.uint8]:
    if given.dtype == np.uint8:
        return given
    inside = np.zeros((height, width), np.uint8)
    for left, top, right, bottom in (given * [width, height, width, height]).round().astype(int):
        inside[top:bottom, left:right] = 255
    return inside


def _pictures(folder: Path | None, precision: GraphPrecision, height: int, width: int) -> list[Pixels]:
    if folder is None and precision == "int8":
        raise ConfigurationError(
            "int8 is calibrated on photos: name a folder of some dozen, like those that will be cut out, in --photos"
        )
    if folder is None:
        with resources.as_file(resources.files("skimage") / "data") as own:
            return [photo(own / name, height, width) for name in OWN_PHOTOS]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTOS)
    if not paths:
        raise ConfigurationError(f"--photos {folder} holds none of {', '.join(sorted(PHOTOS))}")
    step = -(-len(paths) // MOST_PHOTOS)
    return [photo(path, height, width) for path in paths[::step]]
