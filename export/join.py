"""One servable graph per net: the glue before it, the net's own weights, the glue behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper, shape_inference, version_converter

from cutstream.errors import ModelMismatch

GRAPHS = Path(__file__).parent / "graphs"


def join(normalise: str, weights: Path, activate: str) -> ModelProto:
    """u8 `image` N×H×W×3 RGB → u8 `matte` N×H×W, for any N.

    The net runs from its first input to its first output: U²-Net's fused map comes first in every export, while
    the tensors' names are numbers that change with the exporter.
    """
    before, behind = onnx.load(glue_graph(normalise)), onnx.load(glue_graph(activate))
    try:
        net = with_any_batch(_in_version_of(before, onnx.load(weights)))
        joined = _append(_append(before, net, "net/"), behind, "activate/")
        onnx.checker.check_model(joined, full_check=True)
    except (ValueError, RuntimeError, DecodeError, onnx.checker.ValidationError, shape_inference.InferenceError) as exc:
        raise ModelMismatch(f"{weights} does not fit between {normalise} and {activate}: {exc}") from exc
    joined.graph.name = "cutout"
    return joined


def glue_graph(name: str) -> Path:
    return GRAPHS / f"{name}.onnx"


def with_any_batch(net: ModelProto) -> ModelProto:
    """Frees a batch that the exporter fixed at 1, also where it is baked into the target size of a Resize."""
    if net.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        return net
    for value in (*net.graph.input, *net.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    net.graph.ClearField("value_info")
    constants = dict(_constants(net))
    for node in net.graph.node:
        if node.op_type == "Resize" and len(node.input) == 4 and node.input[3] in constants:
            _resize_height_and_width_only(node, constants[node.input[3]], net)
    return net


def _resize_height_and_width_only(node: NodeProto, sizes: TensorProto, net: ModelProto) -> None:
    height_width = numpy_helper.to_array(sizes)[-2:]
    node.input[3] = f"{node.output[0]}/height_width"
    net.graph.initializer.append(numpy_helper.from_array(height_width, node.input[3]))
    kept = [attribute for attribute in node.attribute if attribute.name != "axes"]
    node.ClearField("attribute")
    node.attribute.extend([*kept, helper.make_attribute("axes", [2, 3])])


def _constants(net: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    yield from ((tensor.name, tensor) for tensor in net.graph.initializer)
    for node in net.graph.node:
        if node.op_type == "Constant":
            yield node.output[0], node.attribute[0].t


def _in_version_of(like: ModelProto, net: ModelProto) -> ModelProto:
    """The glue's operator set and file version, which must be equal for a merge."""
    wanted = like.opset_import[0].version
    if net.opset_import[0].version != wanted:
        net = version_converter.convert_version(net, wanted)
    net.ir_version = like.ir_version
    return net


def _append(first: ModelProto, second: ModelProto, prefix: str) -> ModelProto:
    second = compose.add_prefix(second, prefix, rename_outputs=False)
    wire = (first.graph.output[0].name, second.graph.input[0].name)
    return compose.merge_models(first, second, io_map=[wire], outputs=[second.graph.output[0].name])
