"""Fit a graph to TensorRT's parser, without changing what it computes.

TensorRT has u8 tensors as inputs and outputs only, and its parser does not read a resize of some axes (`axes`, which
dynamo and ONNX Runtime write) where the batch is free.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from cutstream.errors import ModelMismatch

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def fit_to_tensorrt(model: ModelProto) -> ModelProto:
    """Return a graph that TensorRT's parser reads. Raises ModelMismatch for a resize to a size that nobody knows."""
    fitted = ModelProto()
    fitted.CopyFrom(model)
    _keep_levels_in_floats(fitted)
    _resize_by_scales(fitted)
    return fitted


def _keep_levels_in_floats(model: ModelProto) -> None:
    """Replace a cast of levels to u8 and back by the cutting-off that it does to values of 0 and more."""
    graph = model.graph
    outputs = {value.name for value in graph.output}
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in graph.node:
        if _cast_type(node) != TensorProto.UINT8 or node.output[0] in outputs:
            continue
        back = users.get(node.output[0], [])
        if back and all(_cast_type(user) in FLOATS for user in back):
            node.CopyFrom(helper.make_node("Floor", node.input, node.output, node.name))


def _cast_type(node: NodeProto) -> int | None:
    if node.op_type != "Cast":
        return None
    (kind,) = (attribute.i for attribute in node.attribute if attribute.name == "to")
    return int(kind)


def _resize_by_scales(model: ModelProto) -> None:
    """State a resize of some axes as scales of all axes."""
    graph = model.graph
    known = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    shapes = _shapes(model)
    count: Counter[str] = Counter()
    for node in graph.node:
        axes = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"), None)
        if node.op_type != "Resize" or axes is None:
            continue
        source = shapes.get(node.input[0], [])
        scales = np.ones(len(source), np.float32)
        for axis, scale in zip(axes, _scales(node, known, source, axes), strict=True):
            scales[axis] = scale
        name = f"{node.output[0]}/scales"
        count[name] += 1
        graph.initializer.append(numpy_helper.from_array(scales, name))
        inputs = [node.input[0], "", name]
        del node.input[:]
        node.input.extend(inputs)
        for attribute in [attribute for attribute in node.attribute if attribute.name == "axes"]:
            node.attribute.remove(attribute)


def _scales(node: NodeProto, known: dict[str, np.ndarray], source: list[int], axes: list[int]) -> list[float]:
    """Return the scale along each of the axes."""
    _, scales, sizes = [*node.input, "", "", ""][1:4]
    if known.get(scales, np.empty(0)).size:
        return [float(scale) for scale in known[scales]]
    if sizes not in known or not source or any(source[axis] <= 0 for axis in axes):
        raise ModelMismatch(f"TensorRT cannot run the graph: the size after the resize {node.output[0]!r} is not fixed")
    return [size / source[axis] for axis, size in zip(axes, known[sizes].tolist(), strict=True)]


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    """Return the shapes of all tensors; a length that is not fixed is 0."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
