"""Convert a graph to fp16 or bf16 with casts. Pixels, normalisation and the last steps stay in fp32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import ml_dtypes
import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper, shape_inference, version_converter

Half = Literal["fp16", "bf16"]

ELEMENT_TYPE = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
DTYPE = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
TYPE_AGNOSTIC = {"Shape", "Size"}  # their outputs do not depend on the input's type
BF16_OPSET = 22  # the first operator set with bf16 convolutions


def convert_to_half(graph: ModelProto, half: Half) -> ModelProto:
    """Convert everything from the first node with weights to the last, as far as ONNX allows the type.

    Nodes that ONNX does not allow in the type stay in fp32 between casts. Inputs and outputs of the graph keep their
    types. The graph must be simplified, so that its constants are initializers.
    """
    if half == "bf16" and graph.opset_import[0].version < BF16_OPSET:
        graph = version_converter.convert_version(graph, BF16_OPSET)
    casts = _Casts(graph, half)
    result = ModelProto()
    result.CopyFrom(graph)
    result.graph.ClearField("node")
    result.graph.ClearField("value_info")
    result.graph.node.extend(casts.nodes())
    used = {name for node in result.graph.node for name in node.input}
    kept = [tensor for tensor in (*graph.graph.initializer, *casts.constants.values()) if tensor.name in used]
    result.graph.ClearField("initializer")
    result.graph.initializer.extend(kept)
    return result


def nodes_between_weights(graph: ModelProto) -> set[int]:
    """Return the indices of the nodes with weights and of all nodes on a path from one of them to another."""
    nodes = graph.graph.node
    downstream, upstream = set[str](), set[str]()
    weighted = {number for number, node in enumerate(nodes) if node.op_type in WEIGHTED}
    later = set[int]()
    for number, node in enumerate(nodes):
        if number in weighted or downstream.intersection(node.input):
            downstream.update(node.output)
            later.add(number)
    earlier = set[int]()
    for number in reversed(range(len(nodes))):
        if number in weighted or upstream.intersection(nodes[number].output):
            upstream.update(nodes[number].input)
            earlier.add(number)
    return later & earlier


def emulate_bf16(graph: ModelProto) -> ModelProto:
    """Rewrite a bf16 graph in fp32 with every tensor rounded to bf16, for an engine without bf16."""
    bf16 = {name for name, kind in _types(graph).items() if kind == TensorProto.BFLOAT16}
    result = ModelProto()
    result.CopyFrom(graph)
    result.graph.ClearField("value_info")
    for tensor in result.graph.initializer:
        if tensor.name in bf16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    result.graph.ClearField("node")
    for node in graph.graph.node:
        result.graph.node.append(node)
        last = result.graph.node[-1]
        for index, name in enumerate(node.output):
            if name in bf16:
                if last.op_type == "Cast":
                    last.attribute[0].i = TensorProto.FLOAT
                last.output[index] = f"{name}/exact"
                result.graph.node.append(
                    helper.make_node("Cast", [f"{name}/exact"], [f"{name}/bf16"], to=ELEMENT_TYPE["bf16"])
                )
                result.graph.node.append(helper.make_node("Cast", [f"{name}/bf16"], [name], to=TensorProto.FLOAT))
    return result


class _Casts:
    def __init__(self, graph: ModelProto, half: Half) -> None:
        self.graph = graph.graph
        self.half = half
        self.opset = graph.opset_import[0].version
        self.inside = nodes_between_weights(graph)
        self.types = _types(graph)
        self.weights = {tensor.name: tensor for tensor in graph.graph.initializer}
        self.constants: dict[str, TensorProto] = {}
        self.present = {value.name for value in graph.graph.input} | set(self.weights)

    def nodes(self) -> Iterator[NodeProto]:
        for number, original in enumerate(self.graph.node):
            node = NodeProto()
            node.CopyFrom(original)
            indices = self._half_inputs(node) if number in self.inside else set()
            for index, name in enumerate(original.input):
                if name and self.types.get(name) == TensorProto.FLOAT:
                    yield from self._provide(name, index in indices)
                    node.input[index] = self._name(name) if index in indices else name
            for index, name in enumerate(original.output):
                if indices and self.types.get(name) == TensorProto.FLOAT:
                    node.output[index] = self._name(name)
                self.present.add(node.output[index])
            yield node
        for value in self.graph.output:
            yield from self._provide(value.name, False)

    def _half_inputs(self, node: NodeProto) -> set[int]:
        """Return the indices of the inputs that may have the type, or none if the outputs would not follow them."""
        if node.domain not in ("", "ai.onnx") or any(attribute.HasField("g") for attribute in node.attribute):
            return set()
        schema = defs.get_schema(node.op_type, self.opset)
        allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
        half_type = "tensor(float16)" if self.half == "fp16" else "tensor(bfloat16)"
        type_variables = [_formal(schema.inputs, index).type_str for index in range(len(node.input))]
        indices = {
            index
            for index, name in enumerate(node.input)
            if self.types.get(name) == TensorProto.FLOAT and half_type in allowed.get(type_variables[index], ())
        }
        output_variables = {
            _formal(schema.outputs, index).type_str
            for index, name in enumerate(node.output)
            if self.types.get(name) == TensorProto.FLOAT
        }
        follows = output_variables and output_variables <= {type_variables[index] for index in indices}
        return indices if follows or node.op_type in TYPE_AGNOSTIC else set()

    def _provide(self, name: str, half: bool) -> Iterator[NodeProto]:
        """Provide the tensor in half precision or in fp32, by a cast or a constant, if it is not present yet."""
        needed, other = (self._name(name), name) if half else (name, self._name(name))
        if needed in self.present:
            return
        self.present.add(needed)
        if half and name in self.weights:
            values = numpy_helper.to_array(self.weights[name]).astype(DTYPE[self.half])
            self.constants[needed] = numpy_helper.from_array(values, needed)
        elif half or other in self.present:
            yield helper.make_node("Cast", [other], [needed], to=ELEMENT_TYPE[self.half] if half else TensorProto.FLOAT)

    def _name(self, name: str) -> str:
        return f"{name}/{self.half}"


def _formal(parameters: Sequence[defs.OpSchema.FormalParameter], index: int) -> defs.OpSchema.FormalParameter:
    return parameters[min(index, len(parameters) - 1)]  # the last parameter may be variadic


def _types(graph: ModelProto) -> dict[str, int]:
    inferred = shape_inference.infer_shapes(graph).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    return types | {tensor.name: tensor.data_type for tensor in inferred.initializer}
