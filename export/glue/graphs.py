"""The list of glue graphs with the names of their tensors, and their export to ONNX."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx
import onnx.numpy_helper
import torch
from torch import Tensor, nn

from export.glue.between_networks import DepthForeground, Intersection, Trimap
from export.glue.closed_form import ClosedForm
from export.glue.people import PeopleBoxes, PeopleMatte
from export.glue.pre_and_postprocessing import (
    ANY_SIZE,
    AlphaLevels,
    ClassForeground,
    Normalise,
    NormaliseWithTrimap,
    Resize,
    StretchLevels,
    SubjectProbability,
    U2netNormalise,
)
from export.glue.subject_of_everything import SubjectOfEverything

OPSET = 18


@dataclass(frozen=True)
class GlueGraph:
    """A step around or between networks, as a torch module with the names of its tensors.

    `examples` are inputs by name: N×H×W×3, N×C×H×W, N×H×W×1 or N×H×W. `output` is the name of the only output.
    With `any_size`, height and width are free, and `load_glue` sets them. With `open_sides`, the sides of the masks are
    free and independent of the image's. `loops` marks modules with loops, which torch exports only in strict mode.
    """

    name: str
    module: nn.Module
    examples: dict[str, Tensor]
    output: str
    any_size: bool = True
    open_sides: bool = False
    loops: bool = False


def glue_graphs() -> Iterator[GlueGraph]:
    image = torch.zeros(2, 320, 320, 3, dtype=torch.uint8)
    levels = torch.zeros(2, 320, 320, dtype=torch.uint8)
    alpha = torch.zeros(2, 1, 320, 320)
    for name, module in (
        ("u2net_normalise", U2netNormalise()),
        ("isnet_normalise", Normalise([128.0] * 3, [256.0] * 3)),
        ("imagenet_normalise", Normalise([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])),
        ("signed_normalise", Normalise([127.5] * 3, [127.5] * 3)),
        ("unit_normalise", Normalise([0.0] * 3, [255.0] * 3)),
        ("unit_rows_normalise", Normalise([0.0] * 3, [255.0] * 3, planes=False)),
        ("levels_normalise", Normalise([0.0] * 3, [1.0] * 3)),
        (
            "sinet_normalise",
            Normalise([126.91, 111.25, 102.89], [66.36 * 255, 62.82 * 255, 62.93 * 255], bgr=True),
        ),
    ):
        yield GlueGraph(name, module, {"image": image}, "normalised")
    yield GlueGraph("trimap_normalise", NormaliseWithTrimap(), {"image": image, "trimap": levels}, "normalised")
    yield GlueGraph("image_resize", Resize(), {"image": image}, "resized")
    yield GlueGraph("map_resize", Resize(), {"map": levels}, "resized")
    yield GlueGraph("u2net_matte", StretchLevels(), {"saliency": alpha}, "matte")
    yield GlueGraph("nearness", StretchLevels(), {"nearness": alpha}, "depth")
    yield GlueGraph("alpha_matte", AlphaLevels(), {"alpha": alpha}, "matte")
    yield GlueGraph("alpha_rows_matte", AlphaLevels(planes=False), {"alpha": torch.zeros(2, 320, 320, 1)}, "matte")
    yield GlueGraph("second_matte", SubjectProbability(), {"probabilities": torch.zeros(2, 2, 320, 320)}, "matte")
    yield GlueGraph("class_foreground", ClassForeground(), {"scores": torch.zeros(2, 21, 320, 320)}, "semantics")
    yield GlueGraph(
        "people_matte",
        PeopleMatte(),
        {"detections": torch.zeros(2, 116, 8400), "prototypes": torch.zeros(2, 32, 160, 160)},
        "matte",
        any_size=False,
    )
    yield GlueGraph("people_boxes", PeopleBoxes(), {"detections": torch.zeros(2, 116, 8400)}, "boxes", any_size=False)
    yield GlueGraph("depth_foreground", DepthForeground(), {"depth": levels}, "matte")
    yield GlueGraph("intersection", Intersection(), {"near": levels, "semantics": levels.clone()}, "matte")
    yield GlueGraph("trimap", Trimap(), {"semantics": levels}, "trimap")
    masks = {"logits": torch.zeros(2, 48, 64, 64), "guesses": torch.zeros(2, 48)}
    yield GlueGraph("subject_of_everything", SubjectOfEverything(), masks, "matte", any_size=False, open_sides=True)
    square = {"image": torch.zeros(2, 512, 512, 3, dtype=torch.uint8), "trimap": torch.zeros(2, 512, 512).byte()}
    yield GlueGraph("closed_form", ClosedForm(), square, "matte", any_size=False, loops=True)


def export_glue(glue: GlueGraph) -> bytes:
    """Return the ONNX file of one step. Equal modules give equal bytes on every machine."""
    examples = tuple(glue.examples.values())
    shapes = tuple(_dynamic_axes(glue, example) for example in examples)
    module = glue.module.eval()
    program = torch.onnx.export(
        torch.export.export(module, examples, dynamic_shapes=shapes, strict=True) if glue.loops else module,
        examples,
        input_names=list(glue.examples),
        output_names=[glue.output],
        opset_version=OPSET,
        dynamic_shapes=None if glue.loops else shapes,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = _name_parameters(program.model_proto)
    return bytes(strip_provenance(model).SerializeToString(deterministic=True))


def _dynamic_axes(glue: GlueGraph, example: Tensor) -> dict[int, Any]:
    if glue.open_sides:
        return dict(enumerate(("batch", "masks", "rows", "columns")[: example.dim()]))
    if not glue.any_size:
        return {0: torch.export.Dim("batch") if glue.loops else "batch"}
    if example.dtype == torch.uint8 or example.shape[-1] == 1:
        return {0: "batch", 1: "height", 2: "width"}
    classes = {1: "classes"} if example.shape[1] > 1 else {}
    return {0: "batch", **classes, 2: "height", 3: "width"}


def _name_parameters(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name the parameters that are set later: each MaxPool by its path in the module (`close.0.rows`), and the size."""
    for node in model.graph.node:
        if node.op_type == "MaxPool":
            scopes = next(entry.value for entry in node.metadata_props if entry.key.endswith("name_scopes"))
            node.name = ast.literal_eval(scopes)[-2]
    for tensor in model.graph.initializer:
        if tensor.dims == [2] and tuple(onnx.numpy_helper.to_array(tensor)) == ANY_SIZE:
            for node in model.graph.node:
                node.input[:] = ["size" if name == tensor.name else name for name in node.input]
            tensor.name = "size"
    return model


def strip_provenance(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove everything that depends on torch's version and the exporting machine. Changes and returns `model`."""
    for field in ("producer_name", "producer_version", "doc_string", "metadata_props"):
        model.ClearField(field)
    model.graph.name = "glue"
    _strip(model.graph)
    return model


def _strip(graph: onnx.GraphProto) -> None:
    graph.ClearField("value_info")
    for part in (graph, *graph.node, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)  # the body of a loop
