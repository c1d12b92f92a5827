"""`cutstream export`: write a served graph in a precision, after checking that its mattes stay close to fp32."""

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

from cutstream.errors import InvalidOption
from cutstream.images import Pixels
from cutstream.settings import GraphPrecision, ModelSettings
from export.formats.casts import convert_to_half, emulate_bf16
from export.formats.parity import PHOTO_SUFFIXES, MatteFunction, compare, load_photo
from export.formats.quantise import quantise_to_int8
from export.formats.receipt import add_receipt
from export.formats.served_graph import ExportReport, build_graph, report_path, source_digest, write_atomically
from export.formats.simplify import check_graph, simplify
from export.formats.tolerances import require_within_tolerance
from export.profiles import size_of
from export.weights.catalogue import Model
from export.weights.store import ensure_weights

MAX_PHOTOS = 128
MIN_PHOTOS_TO_SPLIT = 8  # with fewer photos, the same ones calibrate and test
SAMPLE_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")  # of scikit-image
UNKNOWN = 128  # a network with a trimap gets one that is unknown everywhere


def write(
    model: Model, precision: GraphPrecision, photos: Path | None, settings: ModelSettings, target: Path
) -> ExportReport:
    """Write the simplified graph in the precision to `target`, with its report beside it.

    If `photos` is a folder of 8 photos or more, every second one calibrates int8 and the others test the mattes.
    Without a folder, photos of scikit-image test the mattes, and int8 is refused. Raises ModelMismatch if the mattes
    differ too much, WeightsMissing and InvalidOption.
    """
    weights = ensure_weights(model, settings)
    size = size_of(model.served_step)
    images = _load_images(photos, precision, *size)
    original = build_graph(model, weights, *size)
    simple = simplify(original)
    split = len(images) >= MIN_PHOTOS_TO_SPLIT
    calibration, test = (images[::2], images[1::2]) if split else (images, images)
    graph = check_graph(convert(simple, precision, calibration))
    runnable = emulate_bf16(graph) if precision == "bf16" else graph  # ONNX Runtime has no bf16 convolution for CPUs
    parity = compare(matte_function(original), matte_function(runnable), test)
    require_within_tolerance(parity, precision)
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
    data = add_receipt(graph, digest).SerializeToString(deterministic=True)
    report = ExportReport(
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
        graph=digest,
    )
    write_atomically(target, data)
    write_atomically(report_path(target), msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return report


def convert(graph: ModelProto, precision: GraphPrecision, calibration: Sequence[Pixels]) -> ModelProto:
    """Convert a simplified fp32 graph to the precision."""
    if precision == "fp32":
        return graph
    if precision == "int8":
        return quantise_to_int8(graph, [feed(graph, image) for image in calibration])
    return convert_to_half(graph, precision)


def matte_function(graph: ModelProto) -> MatteFunction:
    """Run the graph by ONNX Runtime on the CPU, one image at a time.

    A map of another kind, such as depth, is compared like a matte. Boxes are drawn as a matte of their insides.
    """
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda image: _as_map(np.asarray(session.run(None, feed(graph, image))[0][0]), *image.shape[:2])


def feed(graph: ModelProto, image: Pixels) -> dict[str, NDArray[Any]]:
    """Return a batch of one for every input of the graph. `image` is u8 H×W×3 RGB."""
    return {value.name: _input_value(value, image)[None] for value in graph.graph.input}


def _input_value(value: ValueInfoProto, image: Pixels) -> NDArray[Any]:
    if value.name == "image":
        return image
    if value.name == "boxes":  # one box, the whole image
        boxes = np.zeros([dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]], np.float32)
        boxes[0, 2:] = 1.0
        return boxes
    return np.full(image.shape[:2], UNKNOWN, np.uint8)


def _as_map(output: NDArray[Any], height: int, width: int) -> NDArray[np.uint8]:
    if output.dtype == np.uint8:
        return output
    inside = np.zeros((height, width), np.uint8)
    for left, top, right, bottom in (output * [width, height, width, height]).round().astype(int):
        inside[top:bottom, left:right] = 255
    return inside


def _load_images(folder: Path | None, precision: GraphPrecision, height: int, width: int) -> list[Pixels]:
    if folder is None and precision == "int8":
        raise InvalidOption(
            "int8 is calibrated on photos: set --photos to a folder with some dozen photos like those you will cut out"
        )
    if folder is None:
        with resources.as_file(resources.files("skimage") / "data") as folder:
            return [load_photo(folder / name, height, width) for name in SAMPLE_PHOTOS]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        raise InvalidOption(f"--photos {folder} has no file with suffix {', '.join(sorted(PHOTO_SUFFIXES))}")
    step = -(-len(paths) // MAX_PHOTOS)
    return [load_photo(path, height, width) for path in paths[::step]]
