"""`cutstream export`: a net of `export/networks/` with its checkpoint, to the ONNX file that joins and serves."""

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
from export.networks import build
from export.repository.join import glue, join
from export.weights.catalogue import Model, exported_file, require_family

TOLERANCE = 1e-3  # of the largest value that the net gives
SEVERAL = 3  # pictures at a time that they are compared on, a batch that the export has not seen
ONE = ("map",)  # what a net gives unless the catalogue names more


def export(model: Model, checkpoint: Path | None, settings: ModelSettings) -> Path:
    """The file in the store, there only once ONNX Runtime gives with it what torch gives and it joins with its glue.

    torch's exporter has folded constants and fused what it can; the batch is dynamic. Without a checkpoint the weights
    are random. Raises ConfigurationError for a model that is not of a torch family, ModelMismatch for the rest.
    """
    require_family(model)
    net = build(model.family, checkpoint)
    shapes = _shapes(model)
    settings.store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.store) as folder:
        part = Path(folder) / f"{model.name}.onnx"
        part.write_bytes(to_onnx(net, shapes, model.gives or ONE))
        check(net, part, shapes, 1 if model.one_at_a_time else SEVERAL)
        join(model, part)
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        for older in settings.store.glob(exported_file(model.name, "*")):
            older.unlink()
        return part.replace(settings.store / exported_file(model.name, digest))


def to_onnx(net: nn.Module, shapes: Mapping[str, Sequence[int]], gives: Sequence[str] = ONE) -> bytes:
    """For any batch of inputs of these names and shapes; `gives` names the outputs."""
    program = torch.onnx.export(
        net,
        tuple(torch.zeros(2, *shape) for shape in shapes.values()),
        input_names=list(shapes),
        output_names=list(gives),
        opset_version=OPSET,
        dynamic_shapes=tuple({0: "batch"} for _ in shapes),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString(deterministic=True))


def check(net: nn.Module, file: Path, shapes: Mapping[str, Sequence[int]], pictures: int = SEVERAL) -> float:
    """The largest difference between torch and ONNX Runtime on noise, as a share of the output's largest value.

    Raises ModelMismatch over 1e-3.
    """
    chooser = np.random.default_rng(1)
    inputs = {name: chooser.standard_normal((pictures, *shape)).astype(np.float32) for name, shape in shapes.items()}
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    given = session.run(None, inputs)
    with torch.no_grad():
        expected = net(*map(torch.from_numpy, inputs.values()))
    wanted = [expected] if isinstance(expected, torch.Tensor) else expected
    apart = [_apart(one, other.numpy()) for one, other in zip(given, wanted, strict=True)]
    difference = float(np.max(apart))  # which keeps what is no number
    if not difference <= TOLERANCE:
        raise ModelMismatch(f"the exported graph differs from torch by {difference:.1e} of its largest value")
    return difference


def _apart(given: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(np.abs(given - wanted).max() / max(np.abs(wanted).max(), 1e-12))


def _shapes(model: Model) -> dict[str, Sequence[int]]:
    """What the net's own normalisation gives, as channels, height and width, and what the net takes besides."""
    (given,) = glue(model.normalise, model.height, model.width).graph.output
    return {given.name: tuple(dim.dim_value for dim in given.type.tensor_type.shape.dim[1:]), **model.takes}
