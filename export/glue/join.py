"""Join a network's weights with the glue before and after it into one graph that Triton can serve."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper, shape_inference, version_converter

from cutstream.errors import ModelMismatch
from export.glue.load import load_glue, load_resize
from export.weights.catalogue import Model


def join(model: Model, weights: Path, height: int = 0, width: int = 0) -> ModelProto:
    """Return the joined graph for images of `height`×`width`, by default the network's own size.

    Its inputs are `image` u8 N×H×W×3 RGB and whatever else the glue before the network or the network itself takes;
    its output is the output of the glue after the network. N is free. If the size differs from the network's own, the
    graph resizes the image, and the resulting map back; boxes are relative to the size and stay as they are.

    The network runs from its first input to its first output unless the catalogue names others: U²-Net's fused map
    comes first in every export, while its tensors' names are numbers that change with the exporter. Raises
    ModelMismatch if the weights do not fit.
    """
    size = (height or model.height, width or model.width)
    own_size = (model.height, model.width)
    before, after = load_glue(model.normalise, *own_size), load_glue(model.activate, *own_size)
    if size != own_size:
        if len(before.graph.input) > 1:
            raise ModelMismatch(
                f"{model.name} has an input of {own_size[0]}×{own_size[1]} px; "
                f"with a trimap it must have the size of its step, {size[0]}×{size[1]}"
            )
        before = _append(load_resize("image_resize", size, own_size), before, "normalise/", outputs=["normalised"])
        if _outputs_map(after):
            after = _append_renamed(after, load_resize("map_resize", own_size, size))
    try:
        network = free_batch(_convert_to_version_of(before, _apply_entry(onnx.load(weights), model)))
        outputs = model.gives or (network.graph.output[0].name,)
        prepared = _append(before, network, "net/", outputs=outputs, kept=model.takes)
        joined = _append(prepared, after, "activate/", outputs=[output.name for output in after.graph.output])
        onnx.checker.check_model(joined, full_check=True)
        _refuse_fixed_batch(joined, model)
    except (ValueError, RuntimeError, DecodeError, onnx.checker.ValidationError, shape_inference.InferenceError) as exc:
        raise ModelMismatch(f"{weights} does not fit between {model.normalise} and {model.activate}: {exc}") from exc
    joined.graph.name = "cutout"
    # The parts use the same names for different unknown sides. Engines infer the shapes again.
    joined.graph.ClearField("value_info")
    _set_output_shape(joined, size)
    return joined


def _set_output_shape(joined: ModelProto, size: tuple[int, int]) -> None:
    (output,) = joined.graph.output
    batch = joined.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    tensor = output.type.tensor_type
    sides = size if _outputs_map(joined) else [dim.dim_value for dim in tensor.shape.dim[1:]]
    output.CopyFrom(helper.make_tensor_value_info(output.name, tensor.elem_type, [batch, *sides]))


def _outputs_map(graph: ModelProto) -> bool:
    return bool(graph.graph.output[0].type.tensor_type.elem_type == TensorProto.UINT8)


def free_batch(network: ModelProto) -> ModelProto:
    """Free a batch that the exporter fixed at 1, also inside the constants of Resize, Reshape and Slice."""
    if network.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        return network
    constants = dict(_constants(network))
    batches = set(_tensors_with_batch_of_one(network))
    for node in network.graph.node:
        if node.op_type == "Resize" and len(node.input) == 4 and node.input[3] in constants:
            _resize_height_and_width_only(node, constants[node.input[3]], network)
        if node.op_type == "Reshape" and node.input[1] in constants and node.input[0] in batches:
            _reshape_all_but_the_batch(node, constants[node.input[1]], network)
        if node.op_type == "Slice" and len(node.input) == 3 and node.input[2] in constants and node.input[0] in batches:
            _slice_all_of_the_batch(node, constants[node.input[2]], network)
    for value in (*network.graph.input, *network.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    network.graph.ClearField("value_info")
    return network


def _apply_entry(network: ModelProto, model: Model) -> ModelProto:
    """Replace inputs by the constants of the catalogue entry and check the tensor names that it states.

    Raises ValueError for names that the network does not have.
    """
    weights = {tensor.name for tensor in network.graph.initializer}  # old exporters list them among the inputs, too
    inputs = {value.name: value for value in network.graph.input if value.name not in weights}
    network.graph.ClearField("input")
    network.graph.input.extend(inputs.values())
    for name, value in model.constants.items():
        if name not in inputs:
            raise ValueError(f"it has no input {name}, only {', '.join(inputs)}")
        network.graph.input.remove(inputs[name])
        network.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    if missing := [name for name in model.takes if name not in inputs]:
        raise ValueError(f"it has no input {missing[0]}, only {', '.join(inputs)}")
    _sort(network)
    outputs = [value.name for value in network.graph.output]
    if missing := [name for name in model.gives if name not in outputs]:
        raise ValueError(f"it has no output {missing[0]}, only {', '.join(outputs)}")
    return network


def _sort(network: ModelProto) -> None:
    """Sort the nodes topologically, as ONNX requires. Converters to half precision append their nodes at the end."""
    producers = {name: number for number, node in enumerate(network.graph.node) for name in node.output}
    needs = {
        number: {producers[name] for name in node.input if name in producers}
        for number, node in enumerate(network.graph.node)
    }
    if all(need < number for number, needed in needs.items() for need in needed):
        return
    nodes = [network.graph.node[number] for number in TopologicalSorter(needs).static_order()]
    network.graph.ClearField("node")
    network.graph.node.extend(nodes)


def _resize_height_and_width_only(node: NodeProto, sizes: TensorProto, network: ModelProto) -> None:
    height_width = numpy_helper.to_array(sizes)[-2:]
    node.input[3] = f"{node.output[0]}/height_width"
    network.graph.initializer.append(numpy_helper.from_array(height_width, node.input[3]))
    kept = [attribute for attribute in node.attribute if attribute.name != "axes"]
    node.ClearField("attribute")
    node.attribute.extend([*kept, helper.make_attribute("axes", [2, 3])])


def _reshape_all_but_the_batch(node: NodeProto, shape: TensorProto, network: ModelProto) -> None:
    sides = numpy_helper.to_array(shape).copy()
    if sides[0] == 1:
        sides[0] = 0  # in ONNX, 0 keeps the side of the input
        node.input[1] = f"{node.output[0]}/shape"
        network.graph.initializer.append(numpy_helper.from_array(sides, node.input[1]))


def _slice_all_of_the_batch(node: NodeProto, ends: TensorProto, network: ModelProto) -> None:
    indices = numpy_helper.to_array(ends).copy()
    if indices[0] == 1:
        indices[0] = np.iinfo(indices.dtype).max
        node.input[2] = f"{node.output[0]}/ends"
        network.graph.initializer.append(numpy_helper.from_array(indices, node.input[2]))


def _tensors_with_batch_of_one(network: ModelProto) -> Iterator[str]:
    inferred = shape_inference.infer_shapes(network).graph
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if (dims := value.type.tensor_type.shape.dim) and dims[0].dim_value == 1:
            yield value.name


def _refuse_fixed_batch(joined: ModelProto, model: Model) -> None:
    """Raise ValueError for a graph that would answer only for the first image of a batch, or mix up the images."""
    if model.one_at_a_time:
        return
    two = ModelProto()
    two.CopyFrom(joined)
    for value in two.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 2
    two.graph.output[0].type.tensor_type.ClearField("shape")
    two.graph.ClearField("value_info")
    (output, *_) = shape_inference.infer_shapes(two, data_prop=True).graph.output
    if output.type.tensor_type.shape.dim[0].dim_value != 2:
        raise ValueError(
            "it takes one image at a time, although its input has a free batch: export it with a dynamic batch, or "
            f"set `one_at_a_time = true` for {model.name} in the catalogue"
        )


def _constants(network: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    yield from ((tensor.name, tensor) for tensor in network.graph.initializer)
    for node in network.graph.node:
        if node.op_type == "Constant":
            yield node.output[0], node.attribute[0].t


def _convert_to_version_of(reference: ModelProto, network: ModelProto) -> ModelProto:
    """Convert the network to the operator set and file version of `reference`; a merge needs equal ones."""
    version = reference.opset_import[0].version
    if network.opset_import[0].version != version:
        network = version_converter.convert_version(network, version)
    network.ir_version = reference.ir_version
    return network


def _append_renamed(first: ModelProto, second: ModelProto) -> ModelProto:
    """Append `second` and give its output the name of `first`'s output."""
    (original,), (output,) = first.graph.output, second.graph.output
    name = original.name
    combined = _append(compose.add_prefix(first, "own/"), second, "resize/", outputs=[output.name])
    producer = next(node for node in combined.graph.node if output.name in node.output)
    producer.output[list(producer.output).index(output.name)] = combined.graph.output[0].name = name
    return combined


def _append(
    first: ModelProto, second: ModelProto, prefix: str, outputs: Sequence[str], kept: Collection[str] = ()
) -> ModelProto:
    """Connect the outputs of `first` to the inputs of `second`, in order.

    The inputs named in `kept` stay inputs of the combined graph. `outputs` are the outputs of `second` that stay.
    """
    second = compose.add_prefix(second, prefix, rename_outputs=False)
    for name in kept:
        _rename_input(second, prefix + name, name)
    connected = [value for value in second.graph.input if value.name not in kept]
    pairs = zip(first.graph.output, connected, strict=True)
    io_map = [(output.name, value.name) for output, value in pairs]
    return compose.merge_models(first, second, io_map=io_map, outputs=list(outputs))


def _rename_input(graph: ModelProto, old: str, new: str) -> None:
    (value,) = [value for value in graph.graph.input if value.name == old]
    value.name = new
    for node in graph.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
