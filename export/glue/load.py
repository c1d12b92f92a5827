"""Load the committed glue graphs, at the size where they are used."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper, shape_inference

from export.profiles import glue_file


def load_glue(name: str, height: int, width: int) -> ModelProto:
    """Load a glue graph for images or maps of this size. A graph with a fixed size keeps it."""
    return _set_size(onnx.load(glue_file(name)), height, width)


def load_resize(name: str, size: tuple[int, int], target: tuple[int, int]) -> ModelProto:
    """Load a resize graph from `size` to `target`, each height and width in px."""
    graph = onnx.load(glue_file(name))
    (constant,) = [tensor for tensor in graph.graph.initializer if tensor.name == "size"]
    constant.CopyFrom(numpy_helper.from_array(np.array(target), "size"))
    return _set_size(graph, *size)


def _set_size(graph: ModelProto, height: int, width: int) -> ModelProto:
    sides = {"height": height, "width": width}
    for value in graph.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sides:
                dim.dim_value = sides[dim.dim_param]
    for output in graph.graph.output:
        output.type.tensor_type.ClearField("shape")
    return shape_inference.infer_shapes(graph)
