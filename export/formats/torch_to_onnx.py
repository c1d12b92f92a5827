"""`cutstream export --weights`: export a torch network with its checkpoint to an ONNX file that can be joined."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from cutstream.errors import ModelMismatch
from cutstream.settings import ModelSettings
from export.glue.graphs import OPSET
from export.glue.join import join
from export.glue.load import load_glue
from export.networks import build
from export.weights.catalogue import Model, require_family
from export.weights.store import exported_file

TOLERANCE = 1e-3  # relative to the network's largest output value
BATCH = 3  # images of the comparison; the export itself runs with another batch
DEFAULT_OUTPUTS = ("map",)  # unless the catalogue names others


def export(model: Model, checkpoint: Path | None, settings: ModelSettings) -> Path:
    """Export a model of a torch family into the store and return the file.

    The file is stored only if ONNX Runtime and torch agree and the graph joins with its glue. torch's exporter folds
    constants and fuses nodes; the batch is dynamic. Without a checkpoint the weights are random. Raises
    ConfigurationError for a model without a torch family, and ModelMismatch if the export fails.
    """
    require_family(model)
    network = build(model.family, checkpoint)
    shapes = _shapes(model)
    settings.store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.store) as folder:
        part = Path(folder) / f"{model.name}.onnx"
        part.write_bytes(to_onnx(network, shapes, model.gives or DEFAULT_OUTPUTS))
        compare_with_torch(network, part, shapes, 1 if model.one_at_a_time else BATCH)
        join(model, part)
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        for older in settings.store.glob(exported_file(model.name, "*")):
            older.unlink()
        return part.replace(settings.store / exported_file(model.name, digest))


def to_onnx(network: nn.Module, shapes: Mapping[str, Sequence[int]], outputs: Sequence[str] = DEFAULT_OUTPUTS) -> bytes:
    """Return the ONNX file of the network. `shapes` are its inputs by name, without the batch, which is free."""
    program = torch.onnx.export(
        network,
        tuple(torch.zeros(2, *shape) for shape in shapes.values()),
        input_names=list(shapes),
        output_names=list(outputs),
        opset_version=OPSET,
        dynamic_shapes=tuple({0: "batch"} for _ in shapes),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString(deterministic=True))


def compare_with_torch(
    network: nn.Module, file: Path, shapes: Mapping[str, Sequence[int]], batch: int = BATCH
) -> float:
    """Return the largest difference between torch and ONNX Runtime on noise, relative to the largest output value.

    Raises ModelMismatch if it exceeds 1e-3.
    """
    random = np.random.default_rng(1)
    inputs = {name: random.standard_normal((batch, *shape)).astype(np.float32) for name, shape in shapes.items()}
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    actual = session.run(None, inputs)
    with torch.no_grad():
        result = network(*map(torch.from_numpy, inputs.values()))
    expected = [result] if isinstance(result, torch.Tensor) else result
    differences = [_relative_difference(a, b.numpy()) for a, b in zip(actual, expected, strict=True)]
    difference = float(np.max(differences))  # np.max keeps NaN
    if not difference <= TOLERANCE:
        raise ModelMismatch(
            f"the exported graph differs from torch by {difference:.1e} of its largest value; "
            f"at most {TOLERANCE:.0e} is allowed"
        )
    return difference


def _relative_difference(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-12))


def _shapes(model: Model) -> dict[str, Sequence[int]]:
    """Return the shapes of the network's inputs without the batch: the normalised image, then `takes`."""
    (output,) = load_glue(model.normalise, model.height, model.width).graph.output
    return {output.name: tuple(dim.dim_value for dim in output.type.tensor_type.shape.dim[1:]), **model.takes}
