"""Each step's module with its tensors' names, and its ONNX file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx
import onnx.numpy_helper
import torch
from torch import Tensor, nn

from export.glue.around import (
    ANY_SIZE,
    Alpha,
    Foreground,
    Normalise,
    Resized,
    Second,
    Stretched,
    U2netNormalise,
    WithTrimap,
)
from export.glue.between import DepthForeground, Intersection, Trimap
from export.glue.everything import SubjectOfEverything
from export.glue.matting import ClosedForm
from export.glue.people import BoxesOfPeople, PeopleOfDetections

OPSET = 18


@dataclass(frozen=True)
class Glue:
    """`examples` by their tensors' names, N×H×W×3, N×C×H×W, N×H×W×1 or N×H×W; `output` is the one output's.

    With `any_size` the graph takes any height and width, and whoever uses it sets them; with `open_sides` it takes maps
    of any, which are not the picture's. `loops`: torch must read the module's code, which it does only if asked.
    """

    name: str
    module: nn.Module
    examples: dict[str, Tensor]
    output: str
    any_size: bool = True
    open_sides: bool = False
    loops: bool = False


def glues() -> Iterator[Glue]:
    picture = torch.zeros(2, 320, 320, 3, dtype=torch.uint8)
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
        yield Glue(name, module, {"image": picture}, "normalised")
    yield Glue("trimap_normalise", WithTrimap(), {"image": picture, "trimap": levels}, "normalised")
    yield Glue("image_resize", Resized(), {"image": picture}, "resized")
    yield Glue("map_resize", Resized(), {"map": levels}, "resized")
    yield Glue("u2net_matte", Stretched(), {"saliency": alpha}, "matte")
    yield Glue("nearness", Stretched(), {"nearness": alpha}, "depth")
    yield Glue("alpha_matte", Alpha(), {"alpha": alpha}, "matte")
    yield Glue("alpha_rows_matte", Alpha(planes=False), {"alpha": torch.zeros(2, 320, 320, 1)}, "matte")
    yield Glue("second_matte", Second(), {"probabilities": torch.zeros(2, 2, 320, 320)}, "matte")
    yield Glue("class_foreground", Foreground(), {"scores": torch.zeros(2, 21, 320, 320)}, "semantics")
    yield Glue(
        "people_matte",
        PeopleOfDetections(),
        {"detections": torch.zeros(2, 116, 8400), "prototypes": torch.zeros(2, 32, 160, 160)},
        "matte",
        any_size=False,
    )
    yield Glue("people_boxes", BoxesOfPeople(), {"detections": torch.zeros(2, 116, 8400)}, "boxes", any_size=False)
    yield Glue("depth_foreground", DepthForeground(), {"depth": levels}, "matte")
    yield Glue("intersection", Intersection(), {"near": levels, "semantics": levels.clone()}, "matte")
    yield Glue("trimap", Trimap(), {"semantics": levels}, "trimap")
    masks = {"logits": torch.zeros(2, 48, 64, 64), "guesses": torch.zeros(2, 48)}
    yield Glue("subject_of_everything", SubjectOfEverything(), masks, "matte", any_size=False, open_sides=True)
    square = {"image": torch.zeros(2, 512, 512, 3, dtype=torch.uint8), "trimap": torch.zeros(2, 512, 512).byte()}
    yield Glue("closed_form", ClosedForm(), square, "matte", any_size=False, loops=True)


def graph(glue: Glue) -> bytes:
    """The ONNX file of one step; equal bytes for equal modules, whoever exports them."""
    examples = tuple(glue.examples.values())
    shapes = tuple(_any_size(glue, example) for example in examples)
    net = glue.module.eval()
    program = torch.onnx.export(
        torch.export.export(net, examples, dynamic_shapes=shapes, strict=True) if glue.loops else net,
        examples,
        input_names=list(glue.examples),
        output_names=[glue.output],
        opset_version=OPSET,
        dynamic_shapes=None if glue.loops else shapes,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = _with_names(program.model_proto)
    return bytes(without_provenance(model).SerializeToString(deterministic=True))


def _any_size(glue: Glue, example: Tensor) -> dict[int, Any]:
    if glue.open_sides:
        return dict(enumerate(("batch", "masks", "rows", "columns")[: example.dim()]))
    if not glue.any_size:
        return {0: torch.export.Dim("batch") if glue.loops else "batch"}
    if example.dtype == torch.uint8 or example.shape[-1] == 1:
        return {0: "batch", 1: "height", 2: "width"}
    classes = {1: "classes"} if example.shape[1] > 1 else {}
    return {0: "batch", **classes, 2: "height", 3: "width"}


def _with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Those of what is set later: each MaxPool by its place in the module, `close.0.rows` say, and a size."""
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


def without_provenance(model: onnx.ModelProto) -> onnx.ModelProto:
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
                _strip(attribute.g)  # a loop's body
