"""cutnet as the file that Triton serves, and back from the file to the net, so that shipped weights can be trained on.

The file keeps the net's own names and its batch normalisations, which every engine folds when it loads; weights are
stored as f16 and widened by the engine at load, which halves the file and moves no matte by a grey level that matters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxscript.optimizer import fold_constants, remove_unused_nodes

from cutstream.errors import ModelMismatch
from export.glue.graphs import OPSET, without_provenance
from export.train.cutnet import DECODER, Cutnet, Served

SIZE = 320
_NET = "net."
_WIDEST = 2048  # what is folded: shapes and the convolutions' empty biases
_F16 = "/f16"
_COARSE_HEADS = tuple(f"heads.{number}." for number in range(len(DECODER) - 1))


def graph(net: Cutnet, size: int = SIZE) -> bytes:
    """The ONNX file: `image` u8 [N, size, size, 3] to `matte` u8 [N, size, size], for any N."""
    program = torch.onnx.export(
        Served(net).eval(),
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        input_names=["image"],
        output_names=["matte"],
        opset_version=OPSET,
        dynamic_shapes=({0: "batch"},),
        dynamo=True,
        optimize=False,  # it would fold the normalisations into the convolutions, for good
        verbose=False,
    )
    assert program is not None
    fold_constants(program.model, input_size_limit=_WIDEST, output_size_limit=_WIDEST)
    remove_unused_nodes(program.model)
    model = without_provenance(program.model_proto)
    model.graph.name = "cutnet"
    _halve(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def load(file: Path) -> Cutnet:
    """The net of a file that `graph` made. Raises ModelMismatch for any other.

    The coarser heads are not in the file, because only training uses them; they begin anew.
    """
    stored = {
        tensor.name.removesuffix(_F16): numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer
    }
    net = Cutnet()
    state = net.state_dict()
    for name in state:
        if name.endswith("num_batches_tracked") or name.startswith(_COARSE_HEADS):
            continue
        array = stored.get(_NET + name)
        if array is None or array.shape != tuple(state[name].shape):
            raise ModelMismatch(
                f"{file} is not cutnet as export/train/cutnet.py has it: {name} is missing or of another shape"
            )
        state[name] = torch.from_numpy(array.astype(np.float32))
    net.load_state_dict(state)
    return net


def _halve(model: ModelProto) -> None:
    widened = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and numpy_helper.to_array(tensor).ndim > 1:
            halved = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name + _F16)
            widened.append(helper.make_node("Cast", [halved.name], [tensor.name], to=TensorProto.FLOAT))
            tensor.CopyFrom(halved)
    nodes = [*widened, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
