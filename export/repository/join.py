"""One servable graph per net: the glue before it, the net's own weights, the glue behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper, shape_inference, version_converter

from cutstream.errors import ModelMismatch
from export.repository.profiles import glue_file

if TYPE_CHECKING:
    from export.weights.catalogue import Model


def join(model: Model, weights: Path, height: int = 0, width: int = 0) -> ModelProto:
    """u8 `image` N×H×W×3 RGB, and what else the glue before or the net takes → what the glue behind gives, for any N.

    A net of another size than `height`×`width`, by default its own, gets the image resized, and its map back; boxes are
    shares of any size. It runs
    from its first input to its first output unless the catalogue names others: U²-Net's fused map comes first in every
    export, while the tensors' names are numbers that change with the exporter. Raises ModelMismatch.
    """
    size = (height or model.height, width or model.width)
    own = (model.height, model.width)
    before, behind = glue(model.normalise, *own), glue(model.activate, *own)
    if size != own:
        if len(before.graph.input) > 1:
            raise ModelMismatch(
                f"{model.name} takes {own[0]}×{own[1]} pixels; with a trimap it must be its step's {size[0]}×{size[1]}"
            )
        before = _append(_resize("image_resize", size, own), before, "normalise/", outputs=["normalised"])
        if _gives_map(behind):
            behind = _append_renamed(behind, _resize("map_resize", own, size))
    try:
        net = with_any_batch(_in_version_of(before, _told(onnx.load(weights), model)))
        sized = _append(before, net, "net/", outputs=model.gives or (net.graph.output[0].name,), kept=model.takes)
        joined = _append(sized, behind, "activate/", outputs=[output.name for output in behind.graph.output])
        onnx.checker.check_model(joined, full_check=True)
        _refuse_baked_batch(joined, model)
    except (ValueError, RuntimeError, DecodeError, onnx.checker.ValidationError, shape_inference.InferenceError) as exc:
        raise ModelMismatch(f"{weights} does not fit between {model.normalise} and {model.activate}: {exc}") from exc
    joined.graph.name = "cutout"
    # The parts' own names for unknown sides would mean each other's: engines find the shapes anew.
    joined.graph.ClearField("value_info")
    _give_shape(joined, size)
    return joined


def _give_shape(joined: ModelProto, size: tuple[int, int]) -> None:
    (output,) = joined.graph.output
    batch = joined.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    tensor = output.type.tensor_type
    sides = size if _gives_map(joined) else [dim.dim_value for dim in tensor.shape.dim[1:]]
    output.CopyFrom(helper.make_tensor_value_info(output.name, tensor.elem_type, [batch, *sides]))


def _gives_map(graph: ModelProto) -> bool:
    return bool(graph.graph.output[0].type.tensor_type.elem_type == TensorProto.UINT8)


def glue(name: str, height: int, width: int) -> ModelProto:
    """The step for pictures or maps of this size; one that has a size of its own stays as it is."""
    return _sized(onnx.load(glue_file(name)), height, width)


def _sized(graph: ModelProto, height: int, width: int) -> ModelProto:
    sides = {"height": height, "width": width}
    for value in graph.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sides:
                dim.dim_value = sides[dim.dim_param]
    for output in graph.graph.output:
        output.type.tensor_type.ClearField("shape")
    return shape_inference.infer_shapes(graph)


def with_any_batch(net: ModelProto) -> ModelProto:
    """Frees a batch that the exporter fixed at 1, also where it is baked into a Resize, Reshape or Slice."""
    if net.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        return net
    constants = dict(_constants(net))
    batches = set(_of_batch_one(net))
    for node in net.graph.node:
        if node.op_type == "Resize" and len(node.input) == 4 and node.input[3] in constants:
            _resize_height_and_width_only(node, constants[node.input[3]], net)
        if node.op_type == "Reshape" and node.input[1] in constants and node.input[0] in batches:
            _reshape_all_but_the_batch(node, constants[node.input[1]], net)
        if node.op_type == "Slice" and len(node.input) == 3 and node.input[2] in constants and node.input[0] in batches:
            _slice_all_of_the_batch(node, constants[node.input[2]], net)
    for value in (*net.graph.input, *net.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    net.graph.ClearField("value_info")
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
    if missing := [name for name in model.takes if name not in inputs]:
        raise ValueError(f"it has no input {missing[0]}, only {', '.join(inputs)}")
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


def _resize(name: str, size: tuple[int, int], to: tuple[int, int]) -> ModelProto:
    graph = onnx.load(glue_file(name))
    (target,) = [tensor for tensor in graph.graph.initializer if tensor.name == "size"]
    target.CopyFrom(numpy_helper.from_array(np.array(to), "size"))
    return _sized(graph, *size)


def _resize_height_and_width_only(node: NodeProto, sizes: TensorProto, net: ModelProto) -> None:
    height_width = numpy_helper.to_array(sizes)[-2:]
    node.input[3] = f"{node.output[0]}/height_width"
    net.graph.initializer.append(numpy_helper.from_array(height_width, node.input[3]))
    kept = [attribute for attribute in node.attribute if attribute.name != "axes"]
    node.ClearField("attribute")
    node.attribute.extend([*kept, helper.make_attribute("axes", [2, 3])])


def _reshape_all_but_the_batch(node: NodeProto, shape: TensorProto, net: ModelProto) -> None:
    sides = numpy_helper.to_array(shape).copy()
    if sides[0] == 1:
        sides[0] = 0  # ONNX's word for: as many as come in
        node.input[1] = f"{node.output[0]}/shape"
        net.graph.initializer.append(numpy_helper.from_array(sides, node.input[1]))


def _slice_all_of_the_batch(node: NodeProto, ends: TensorProto, net: ModelProto) -> None:
    places = numpy_helper.to_array(ends).copy()
    if places[0] == 1:
        places[0] = np.iinfo(places.dtype).max
        node.input[2] = f"{node.output[0]}/ends"
        net.graph.initializer.append(numpy_helper.from_array(places, node.input[2]))


def _of_batch_one(net: ModelProto) -> Iterator[str]:
    """The tensors whose first side is 1."""
    inferred = shape_inference.infer_shapes(net).graph
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if (dims := value.type.tensor_type.shape.dim) and dims[0].dim_value == 1:
            yield value.name


def _refuse_baked_batch(joined: ModelProto, model: Model) -> None:
    """Such a graph answers the first picture of a batch, at worst in every other's name."""
    if model.one_at_a_time:
        return
    two = ModelProto()
    two.CopyFrom(joined)
    for value in two.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 2
    two.graph.output[0].type.tensor_type.ClearField("shape")
    two.graph.ClearField("value_info")
    (given, *_) = shape_inference.infer_shapes(two, data_prop=True).graph.output
    if given.type.tensor_type.shape.dim[0].dim_value != 2:
        raise ValueError(
            "it takes one picture at a time, whatever its input says: export it with a dynamic batch, or say "
            f"`one_at_a_time = true` of {model.name} in the catalogue"
        )


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


def _append_renamed(first: ModelProto, second: ModelProto) -> ModelProto:
    """`second` gives what `first` gave, under its name."""
    (given,), (output,) = first.graph.output, second.graph.output
    name = given.name
    longer = _append(compose.add_prefix(first, "own/"), second, "resize/", outputs=[output.name])
    maker = next(node for node in longer.graph.node if output.name in node.output)
    maker.output[list(maker.output).index(output.name)] = longer.graph.output[0].name = name
    return longer


def _append(
    first: ModelProto, second: ModelProto, prefix: str, outputs: Sequence[str], kept: Collection[str] = ()
) -> ModelProto:
    """`first`'s outputs into `second`'s inputs, in order, but for those to be `kept`, which both together still take.

    `outputs` are the second's that are kept.
    """
    second = compose.add_prefix(second, prefix, rename_outputs=False)
    for name in kept:
        _rename_input(second, prefix + name, name)
    wired = [value for value in second.graph.input if value.name not in kept]
    pairs = zip(first.graph.output, wired, strict=True)
    wires = [(output.name, value.name) for output, value in pairs]
    return compose.merge_models(first, second, io_map=wires, outputs=list(outputs))


def _rename_input(graph: ModelProto, old: str, new: str) -> None:
    (value,) = [value for value in graph.graph.input if value.name == old]
    value.name = new
    for node in graph.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
