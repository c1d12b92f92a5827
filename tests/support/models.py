"""A small real network of U²-Net-P's shape with its own catalogue, so that tests need no published weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.helper import make_node as node

from cutstream.settings import ModelSettings, Settings, StackSettings
from export.weights.catalogue import Model, Weights, read_catalogue

SIDE = 320
BORDER = 16


def small_network() -> ModelProto:
    """`input.1` f32 [N,3,320,320], normalised → `1959` f32 [N,1,320,320] in 0..1: distance from the border's colour.

    Like U²-Net-P it computes at half the size and has a side output. `classes` f32 [N,2,320,320] are scores of
    background and subject.
    """
    ring = np.ones((1, 1, SIDE, SIDE), np.float32)
    ring[:, :, BORDER:-BORDER, BORDER:-BORDER] = 0
    nodes = [
        node("Mul", ["input.1", "ring"], ["on_ring"]),
        node("ReduceSum", ["on_ring", "plane"], ["border"]),
        node("Sub", ["input.1", "border"], ["difference"]),
        node("Mul", ["difference", "difference"], ["distance"]),
        node("Conv", ["distance", "sum"], ["far"], pads=[1] * 4, strides=[2, 2]),
        node("Conv", ["far", "blur"], ["smooth"], pads=[2] * 4),
        node("Resize", ["smooth", "", "", "size"], ["full"], mode="linear", axes=[2, 3]),
        node("Conv", ["full", "gain", "offset"], ["logits"]),
        node("Sigmoid", ["logits"], ["1959"]),
        node("Sigmoid", ["full"], ["1960"]),
        node("Neg", ["logits"], ["background"]),
        node("Concat", ["background", "logits"], ["classes"], axis=1),
    ]
    constants = {
        "ring": ring / ring.sum(),
        "plane": np.array([2, 3]),
        "sum": np.full((1, 3, 3, 3), 1 / 27, np.float32),
        "blur": np.full((1, 1, 5, 5), 1 / 25, np.float32),
        "size": np.array([SIDE, SIDE]),
        "gain": np.full((1, 1, 1, 1), 1.2, np.float32),
        "offset": np.array([-3], np.float32),
    }
    return make_network(nodes, constants, outputs=["1959", "1960", "classes"])


def make_network(
    nodes: list, constants: dict[str, np.ndarray], outputs: list[str], batch: str | int = "batch", opset: int = 18
) -> ModelProto:
    shape = [batch, 3, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 1 + (name == "classes"), SIDE, SIDE])
            for name in outputs
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])


def detector(centre: tuple[int, int], size: tuple[int, int]) -> ModelProto:
    """`pixels` f32 [N,3,640,640] → `output0` f32 [N,116,8400]: always one person in this box."""
    detections = np.zeros((1, 116, 8400), np.float32)
    detections[0, :5, 7] = *centre, *size, 0.9
    nodes = [
        node("ReduceMean", ["pixels", "planes"], ["rows"], keepdims=0),
        node("ReduceMean", ["rows", "places"], ["mean"]),
        node("Mul", ["mean", "nothing"], ["none"]),
        node("Add", ["none", "detections"], ["output0"]),
    ]
    constants = {
        "planes": np.array([1]),
        "places": np.array([1, 2]),
        "nothing": np.zeros(1, np.float32),
        "detections": detections,
    }
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, 640, 640])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 116, 8400])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])


def small_models(folder: Path) -> ModelSettings:
    """Settings that serve `general` with the small network in place of U²-Net-P, from a mirror."""
    weights, mirror = small_weights(), mirror_in(folder / "mirror")
    models = [
        model if model.shipped else msgspec.structs.replace(model, weights=(weights,))
        for model in read_catalogue(ModelSettings())
    ]
    path = folder / "catalogue.toml"
    path.write_text("\n".join(as_toml(model) for model in models))
    return ModelSettings(
        mirror=mirror,
        store=folder / "store",
        catalogue=path,
        profiles=("general",),
        default_profile="general",
    )


def small_model(name: str, **changes: object) -> Model:
    """A catalogue entry for the small network."""
    u2netp = next(model for model in read_catalogue(ModelSettings()) if model.name == "u2netp")
    return msgspec.structs.replace(u2netp, name=name, weights=(small_weights(),), **changes)


def small_weights() -> Weights:
    data = small_network().SerializeToString(deterministic=True)
    return Weights(file="small.onnx", bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def mirror_in(mirror: Path) -> Path:
    mirror.mkdir(parents=True, exist_ok=True)
    (mirror / "renamed by its owner.onnx").write_bytes(small_network().SerializeToString(deterministic=True))
    return mirror


FUSED = ["depth", "semantics", "depth_foreground", "intersection"]


def fused_settings(folder: Path, overrides: tuple[str, ...] = ()) -> Settings:
    """Settings that serve `depth_fused` with small networks, two of them for the step `depth`."""
    models = [
        small_model("shallow", step="depth", activate="nearness"),
        small_model("shallow_two", step="depth", activate="nearness", one_at_a_time=True),
        small_model("semantic_one", step="semantics", activate="class_foreground", gives=("classes",)),
    ]
    (folder / "catalogue.toml").write_text("\n".join(as_toml(model) for model in models))
    return Settings(
        models=ModelSettings(
            mirror=mirror_in(folder / "mirror"),
            store=folder / "store",
            catalogue=folder / "catalogue.toml",
            profiles=("depth_fused",),
            default_profile="depth_fused",
            network_overrides=overrides,
        ),
        stack=StackSettings(state=folder / "state", private=False),
    )


def as_toml(model: Model) -> str:
    fields = msgspec.to_builtins(model)
    constants, takes, all_weights = fields.pop("constants"), fields.pop("takes"), fields.pop("weights")
    tables = [("[[models]]", fields), ("[models.constants]", constants), ("[models.takes]", takes)]
    tables += [("[[models.weights]]", weights) for weights in all_weights]
    lines = [line for header, table in tables for line in (header, *_assignments(table))]
    return "\n".join(lines) + "\n"


def _assignments(table: dict[str, str | int | None]) -> list[str]:
    # A JSON string is also a TOML string.
    return [f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None]


def picture_with_blob(centre: tuple[int, int], radius: int, side: int = SIDE) -> np.ndarray:
    """u8 [side,side,3] RGB: a bright disc, `centre` (x, y), on a dark, slightly uneven background."""
    y, x = np.mgrid[:side, :side]
    ground = 40 + 10 * np.sin(x / 17)[..., None] + np.array([0, 5, 10])
    disc = np.hypot(x - centre[0], y - centre[1]) <= radius
    return np.where(disc[..., None], np.array([230, 180, 60]), ground).astype(np.uint8)


def disc_of(centre: tuple[int, int], radius: int, side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.hypot(x - centre[0], y - centre[1]) <= radius
