"""One servable graph per net: the glue before it, the net's own weights, the glue behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper, shape_inference, version_converter

from cutstream.errors import ModelMismatch

if TYPE_CHECKING:
    from export.catalogue import Model

GRAPHS = Path(__file__).parent / "graphs"


def join(model: Model, weights: Path) -> ModelProto:
    """u8 `image` N×H×W×3 RGB → what the glue behind the net calls its output, for any N.

    The net runs from its first input to its first output unless the catalogue names others: U²-Net's fused map comes
    first in every export, while the tensors' names are numbers that change with the exporter. Raises ModelMismatch.
    """
    before, behind = onnx.load(glue_graph(model.normalise)), onnx.load(glue_graph(model.activate))
    try:
        net = with_any_batch(_in_version_of(before, _told(onnx.load(weights), model)))
        sized = _append(_of_size(before, model), net, "net/", outputs=model.gives or (net.graph.output[0].name,))
        joined = _append(sized, behind, "activate/", outputs=[output.name for output in behind.graph.output])
        onnx.checker.check_model(joined, full_check=True)
    except (ValueError, RuntimeError, DecodeError, onnx.checker.ValidationError, shape_inference.InferenceError) as exc:
        raise ModelMismatch(f"{weights} does not fit between {model.normalise} and {model.activate}: {exc}") from exc
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


def _told(net: ModelProto, model: Model) -> ModelProto:
    """With the values that the catalogue fixes in place of inputs; ValueError where the net knows no such names."""
    weights = {tensor.name for tensor in net.graph.initializer}  # old exporters list them among the inputs, too
    inputs = {value.name: value for value in net.graph.input if value.name not in weights}
    net.graph.ClearField("input")
    net.graph.input.extend(inputs.values())
    for name, value in model.constants.items():
        if name not in inputs:
            raise ValueError(f"it has no input {name}, only {', '.join(inputs)}")
        net.graph.input.remove(inputs[name])
        net.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    _sort(net)
    outputs = [value.name for value in net.graph.output]
    if missing := [name for name in model.gives if name not in outputs]:
        raise ValueError(f"it has no output {missing[0]}, only {', '.join(outputs)}")
    return net


def _sort(net: ModelProto) -> None:
    """Each node behind those that it needs, as ONNX demands; converters to half precision append theirs at the end."""
    makers = {name: number for number, node in enumerate(net.graph.node) for name in node.output}
    needs = {
        number: {makers[name] for name in node.input if name in makers} for number, node in enumerate(net.graph.node)
    }
    if all(need < number for number, those in needs.items() for need in those):
        return
    nodes = [net.graph.node[number] for number in TopologicalSorter(needs).static_order()]
    net.graph.ClearField("node")
    net.graph.node.extend(nodes)


def _of_size(glue: ModelProto, model: Model) -> ModelProto:
    """Glue for pictures of any size takes them at the net's; one that resizes has a size of its own."""
    _, height, width, _ = glue.graph.input[0].type.tensor_type.shape.dim
    if height.dim_param:
        height.dim_value, width.dim_value = model.height, model.width
        glue.graph.output[0].type.tensor_type.ClearField("shape")
    return shape_inference.infer_shapes(glue)


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


def _append(first: ModelProto, second: ModelProto, prefix: str, outputs: Sequence[str]) -> ModelProto:
    """`first`'s outputs into `second`'s inputs, in order; `outputs` are the second's that are kept."""
    second = compose.add_prefix(second, prefix, rename_outputs=False)
    pairs = zip(first.graph.output, second.graph.input, strict=True)
    wires = [(output.name, value.name) for output, value in pairs]
    return compose.merge_models(first, second, io_map=wires, outputs=list(outputs))
