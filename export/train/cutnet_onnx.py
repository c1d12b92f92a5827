"""Write cutnet as the ONNX file that Triton serves, and read it back, so that shipped weights can be trained further.

The file keeps the network's own names and its batch normalisations, which every engine folds at load. Weights are
stored as fp16 and converted to fp32 by the engine at load. This halves the file and changes no matte noticeably.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxscript.optimizer import fold_constants, remove_unused_nodes

from cutstream.errors import ModelMismatch
from export.glue.graphs import OPSET, strip_provenance
from export.train.cutnet import DECODER, Cutnet, Served

SIZE = 320
_PREFIX = "net."  # of the network's tensors in the file
_MAX_FOLDED_BYTES = 2048  # folds shapes and the convolutions' empty biases, and nothing else
_FP16 = "/f16"  # suffix of stored tensors
_COARSE_HEADS = tuple(f"heads.{number}." for number in range(len(DECODER) - 1))


def to_onnx(network: Cutnet, size: int = SIZE) -> bytes:
    """Return the ONNX file: `image` u8 [N, size, size, 3] → `matte` u8 [N, size, size], with any N."""
    program = torch.onnx.export(
        Served(network).eval(),
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        input_names=["image"],
        output_names=["matte"],
        opset_version=OPSET,
        dynamic_shapes=({0: "batch"},),
        dynamo=True,
        optimize=False,  # it would fold the normalisations into the convolutions irreversibly
        verbose=False,
    )
    assert program is not None
    fold_constants(program.model, input_size_limit=_MAX_FOLDED_BYTES, output_size_limit=_MAX_FOLDED_BYTES)
    remove_unused_nodes(program.model)
    model = strip_provenance(program.model_proto)
    model.graph.name = "cutnet"
    _store_as_fp16(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def from_onnx(file: Path) -> Cutnet:
    """Read the network from a file of `to_onnx`. Raise ModelMismatch for any other file.

    The coarser heads are not in the file, because only training uses them; they start from new random weights.
    """
    stored = {
        tensor.name.removesuffix(_FP16): numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer
    }
    network = Cutnet()
    state = network.state_dict()
    for name in state:
        if name.endswith("num_batches_tracked") or name.startswith(_COARSE_HEADS):
            continue
        array = stored.get(_PREFIX + name)
        if array is None or array.shape != tuple(state[name].shape):
            raise ModelMismatch(
                f"{file} is not cutnet as defined by export/train/cutnet.py: {name} is missing or has another shape"
            )
        state[name] = torch.from_numpy(array.astype(np.float32))
    network.load_state_dict(state)
    return network


def _store_as_fp16(model: ModelProto) -> None:
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and numpy_helper.to_array(tensor).ndim > 1:
            halved = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name + _FP16)
            casts.append(helper.make_node("Cast", [halved.name], [tensor.name], to=TensorProto.FLOAT))
            tensor.CopyFrom(halved)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
