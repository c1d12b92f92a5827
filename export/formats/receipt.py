"""Add the output `receipt` to a graph: the sums of what it reads and writes, and its digest (ADR 12)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from cutstream.errors import ModelMismatch
from cutstream.receipts import DIGEST_NUMBERS, GRID, RECEIPT, SUMS, digest_numbers, receipt_length

MAX_SUM = 1 << 24  # f32 holds every smaller whole number exactly
FLOAT_UNIT = 2.0**20  # floats, such as boxes in 0..1, are counted in units of 2⁻²⁰


def add_receipt(graph: ModelProto, digest: str) -> ModelProto:
    """Add the output `receipt` i32 [N, …]. Changes and returns `graph`.

    It is computed in fp32 from the tensors that the network reads and writes. Raises ModelMismatch for sizes that
    do not fit the grid.
    """
    tensors = [*_by_name(graph.graph.input), *_by_name(graph.graph.output)]
    batch = tensors[0].type.tensor_type.shape.dim[0].dim_param
    nodes = _Nodes(graph)
    parts = [nodes.sums_of(tensor) for tensor in tensors]
    parts.append(nodes.constant_like(parts[0], digest_numbers(digest)))
    nodes.add("Concat", parts, "all", axis=1)
    graph.graph.node.append(helper.make_node("Cast", [f"{RECEIPT}/all"], [RECEIPT], to=TensorProto.INT32))
    shape = [batch, receipt_length(len(tensors))]
    graph.graph.output.append(helper.make_tensor_value_info(RECEIPT, TensorProto.INT32, shape))
    checker.check_model(graph)
    return graph


def _by_name(values: Sequence[ValueInfoProto]) -> list[ValueInfoProto]:
    return sorted(values, key=lambda value: value.name)


class _Nodes:
    """Appends nodes and constants to a graph under the prefix `receipt/`."""

    def __init__(self, graph: ModelProto) -> None:
        self._graph = graph.graph

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        output = f"{RECEIPT}/{name}"
        self._graph.node.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: object, dtype: type) -> str:
        output = f"{RECEIPT}/{name}"
        self._graph.initializer.append(numpy_helper.from_array(np.array(values, dtype), output))
        return output

    def sums_of(self, value: ValueInfoProto) -> str:
        """Append the 64 sums f32 [N, 64] of a tensor."""
        name, tensor = value.name, value.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim[1:]]
        if tensor.elem_type == TensorProto.FLOAT:
            return self._numbers_of(name, prod(dims))
        height, width, *channels = dims
        cell = (height // GRID, width // GRID * prod(channels))
        if height % GRID or width % GRID or prod(cell) * 255 >= MAX_SUM:
            raise ModelMismatch(
                f"`{name}` has {height}×{width} px: both sides of a step must be multiples of {GRID}, and an image at "
                "most 1184×1184 px"
            )
        # By way of fp16, which holds the pixels exactly: engines merge equal casts, and OpenVINO then no longer fuses
        # the network's own with its normalisation, which costs 3 %. TensorRT casts u8 to fp32 and fp16 only.
        half = self.add("Cast", [name], f"{name}/half", to=TensorProto.FLOAT16)
        pixels = self.add("Cast", [half], f"{name}/pixels", to=TensorProto.FLOAT)
        shape = self.constant(f"{name}/shape", [0, GRID, cell[0], GRID, cell[1]], np.int64)
        cells = self.add("Reshape", [pixels, shape], f"{name}/cells")
        axes = self.constant(f"{name}/axes", [2, 4], np.int64)
        grid = self.add("ReduceSum", [cells, axes], f"{name}/grid", keepdims=0)
        return self.add("Reshape", [grid, self.constant(f"{name}/row", [0, SUMS], np.int64)], f"{name}/sums")

    def _numbers_of(self, name: str, count: int) -> str:
        """Append the numbers of a small float tensor themselves, repeated to 64."""
        if SUMS % count:
            raise ModelMismatch(f"`{name}` has {count} numbers per image: a float tensor must have a divisor of {SUMS}")
        scaled = self.add("Mul", [name, self.constant(f"{name}/unit", FLOAT_UNIT, np.float32)], f"{name}/scaled")
        whole = self.add("Round", [scaled], f"{name}/whole")
        row = self.add("Reshape", [whole, self.constant(f"{name}/row", [0, count], np.int64)], f"{name}/numbers")
        return self.add("Concat", [row] * (SUMS // count), f"{name}/sums", axis=1)

    def constant_like(self, sums: str, numbers: Sequence[int]) -> str:
        """Append constant numbers for every image of the batch."""
        bounds = [self.constant(name, [place], np.int64) for name, place in (("from", 0), ("to", DIGEST_NUMBERS))]
        some = self.add("Slice", [sums, *bounds, self.constant("axis", [1], np.int64)], "some")
        nothing = self.add("Mul", [some, self.constant("zero", 0, np.float32)], "nothing")
        return self.add("Add", [nothing, self.constant("digest", [numbers], np.float32)], "constant")
