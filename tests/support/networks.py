"""Mattes of real networks by ONNX Runtime, and the images of hair in which each network finds the subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import onnxruntime

from cutstream.arrays.cpu import CpuOps
from cutstream.images import Image, Matte, Pixels
from cutstream.matting.presets import SOFT
from cutstream.matting.refine import prepare, refine
from cutstream.quality.alpha import gradient_error, sum_of_absolute_differences
from cutstream.settings import ModelSettings
from export.formats.served_graph import build_graph
from export.profiles import size_of
from export.weights.catalogue import find_model
from export.weights.store import ensure_weights, find_weights
from tests.support.hair import HairPicture, astronaut, fur_ball
from tests.support.lemur import lemur

OPS = CpuOps()

PICTURES: dict[str, Callable[[], HairPicture]] = {
    "lemur": lemur,
    "person before galaxies": lambda: astronaut("hubble_deep_field.jpg"),
    "person before bricks": lambda: astronaut("brick.png"),
    "person in a garage": lambda: astronaut("motorcycle_left.png"),
    "large person in a garage": lambda: astronaut("motorcycle_left.png", side=1200),
    "fur on grass": lambda: fur_ball("grass.png"),
}
PERSONS = [name for name in PICTURES if "person" in name]
# The edges can be compared only where a network finds the subject, with an IoU of at least 0.8. Networks for people
# have no images of fur.
FOUND: dict[str, list[str]] = {
    "cutnet": list(PICTURES),
    "u2netp": list(PICTURES),
    "isnet": list(PICTURES),
    "deeplabv3_mobilenetv2": ["lemur", "person before bricks", "person in a garage", "large person in a garage"],
    "selfie": ["lemur", *PERSONS],
    "sinet": PERSONS,
    "rvm": ["person before bricks"],
    "yolov8n_seg": ["person before galaxies", "person before bricks"],
}


@dataclass(frozen=True)
class Edges:
    """SAD and gradient error of the network's matte, interpolated to the photo's size, and of the refined matte."""

    raw_sad: float
    sad: float
    raw_gradient: float
    gradient: float


def edges(matte: Matte, picture: HairPicture) -> Edges:
    height, width = picture.alpha.shape
    raw = OPS.resize_linear(matte, width, height)
    refined = refine(matte, Image(picture.pixels), SOFT, OPS)
    return Edges(
        sum_of_absolute_differences(raw, picture.alpha),
        sum_of_absolute_differences(refined, picture.alpha),
        gradient_error(raw, picture.alpha),
        gradient_error(refined, picture.alpha),
    )


def at_hand(name: str, models: ModelSettings) -> bool:
    return find_weights(find_model(name, models), models) is not None


def matte_of(name: str, pixels: Pixels, models: ModelSettings) -> Matte:
    height, width = size_of(find_model(name, models).served_step)
    return _session(name, models).run(None, {"image": prepare(Image(pixels), width, height, OPS)[None]})[0][0]


@cache
def _session(name: str, models: ModelSettings) -> onnxruntime.InferenceSession:
    model = find_model(name, models)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # unused initialisers of a published file cause a hundred warnings
    graph = build_graph(model, ensure_weights(model, models), *size_of(model.served_step)).SerializeToString()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
