"""A graph whose network computes in f16 or bf16, by casts: pixels, normalisation and the last steps stay f32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import ml_dtypes
import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper, shape_inference, version_converter

Half = Literal["fp16", "bf16"]

KIND = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
DTYPE = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
ANY_KIND = {"Shape", "Size"}  # what they give does not depend on the type
BF16_OPSET = 22  # from here on a convolution may be one of bf16


def in_half(graph: ModelProto, half: Half) -> ModelProto:
    """From the first node with weights to the last, whatever ONNX allows in that type; casts where it does not.

    In and out stay as they are. The graph has to be simplified: its constants are initializers.
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


def between_weights(graph: ModelProto) -> set[int]:
    """Numbers of the nodes with weights, and of those that lie on a way from one of them to another."""
    nodes = graph.graph.node
    behind, before = set[str](), set[str]()
    weighted = {number for number, node in enumerate(nodes) if node.op_type in WEIGHTED}
    later = set[int]()
    for number, node in enumerate(nodes):
        if number in weighted or behind.intersection(node.input):
            behind.update(node.output)
            later.add(number)
    earlier = set[int]()
    for number in reversed(range(len(nodes))):
        if number in weighted or before.intersection(nodes[number].output):
            before.update(nodes[number].input)
            earlier.add(number)
    return later & earlier


def rounded(graph: ModelProto) -> ModelProto:
    """The bf16 graph for an engine without bf16: f32, with every tensor rounded to what bf16 would hold."""
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
        for place, name in enumerate(node.output):
            if name in bf16:
                if last.op_type == "Cast":
                    last.attribute[0].i = TensorProto.FLOAT
                last.output[place] = f"{name}/exact"
                result.graph.node.append(helper.make_node("Cast", [f"{name}/exact"], [f"{name}/bf16"], to=KIND["bf16"]))
                result.graph.node.append(helper.make_node("Cast", [f"{name}/bf16"], [name], to=TensorProto.FLOAT))
    return result


class _Casts:
    def __init__(self, graph: ModelProto, half: Half) -> None:
        self.graph = graph.graph
        self.half = half
        self.opset = graph.opset_import[0].version
        self.inside = between_weights(graph)
        self.types = _types(graph)
        self.weights = {tensor.name: tensor for tensor in graph.graph.initializer}
        self.constants: dict[str, TensorProto] = {}
        self.present = {value.name for value in graph.graph.input} | set(self.weights)

    def nodes(self) -> Iterator[NodeProto]:
        for number, original in enumerate(self.graph.node):
            node = NodeProto()
            node.CopyFrom(original)
            places = self._half_inputs(node) if number in self.inside else set()
            for place, name in enumerate(original.input):
                if name and self.types.get(name) == TensorProto.FLOAT:
                    yield from self._brought(name, place in places)
                    node.input[place] = self._name(name) if place in places else name
            for place, name in enumerate(original.output):
                if places and self.types.get(name) == TensorProto.FLOAT:
                    node.output[place] = self._name(name)
                self.present.add(node.output[place])
            yield node
        for value in self.graph.output:
            yield from self._brought(value.name, False)

    def _half_inputs(self, node: NodeProto) -> set[int]:
        """Places of the inputs that can be of that type, if all the node gives follows from them; else none."""
        if node.domain not in ("", "ai.onnx") or any(attribute.HasField("g") for attribute in node.attribute):
            return set()
        schema = defs.get_schema(node.op_type, self.opset)
        allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
        kind = "tensor(float16)" if self.half == "fp16" else "tensor(bfloat16)"
        letters = [_formal(schema.inputs, place).type_str for place in range(len(node.input))]
        places = {
            place
            for place, name in enumerate(node.input)
            if self.types.get(name) == TensorProto.FLOAT and kind in allowed.get(letters[place], ())
        }
        given = {
            _formal(schema.outputs, place).type_str
            for place, name in enumerate(node.output)
            if self.types.get(name) == TensorProto.FLOAT
        }
        follows = given and given <= {letters[place] for place in places}
        return places if follows or node.op_type in ANY_KIND else set()

    def _brought(self, name: str, half: bool) -> Iterator[NodeProto]:
        """A cast, or a constant, where the tensor is not there in the type that is needed."""
        wanted, other = (self._name(name), name) if half else (name, self._name(name))
        if wanted in self.present:
            return
        self.present.add(wanted)
        if half and name in self.weights:
            values = numpy_helper.to_array(self.weights[name]).astype(DTYPE[self.half])
            self.constants[wanted] = numpy_helper.from_array(values, wanted)
        elif half or other in self.present:
            yield helper.make_node("Cast", [other], [wanted], to=KIND[self.half] if half else TensorProto.FLOAT)

    def _name(self, name: str) -> str:
        return f"{name}/{self.half}"


def _formal(parameters: Sequence[defs.OpSchema.FormalParameter], place: int) -> defs.OpSchema.FormalParameter:
    return parameters[min(place, len(parameters) - 1)]  # the last one may stand for many


def _types(graph: ModelProto) -> dict[str, int]:
    inferred = shape_inference.infer_shapes(graph).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    return types | {tensor.name: tensor.data_type for tensor in inferred.initializer}
