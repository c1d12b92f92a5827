"""Glue between nets with the settings' thresholds and radii, for maps of one size."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from cutstream.settings import GlueSettings
from export.repository.join import glue

LONG_SIDE = 1000  # radii are px of a photo of this long side


def tuned(step: str, height: int, width: int, settings: GlueSettings) -> ModelProto:
    graph = glue(step, height, width)
    constants = {"edge_threshold": settings.depth_edge_threshold}
    for tensor in graph.graph.initializer:
        if tensor.name in constants:
            tensor.CopyFrom(numpy_helper.from_array(np.array(constants[tensor.name], np.float32), tensor.name))
    radii = _radii(settings)
    for node in graph.graph.node:
        if node.op_type == "MaxPool":
            sweep = node.name.split(".")[0]
            _set_radius(node, round(radii[sweep] * max(height, width) / LONG_SIDE))
    return graph


def _radii(settings: GlueSettings) -> dict[str, float]:
    """By the names of the sweeps in `export/glue/between.py`."""
    erode, dilate = settings.trimap.split("/")
    return {
        "edge": settings.depth_edge_radius,
        "close": settings.depth_close_radius,
        "open": settings.depth_open_radius,
        "erode": float(erode),
        "dilate": float(dilate),
    }


def _set_radius(sweep: NodeProto, radius: int) -> None:
    """A sweep goes along one axis: its footprint is 2 · radius + 1 px long there and 1 px across."""
    axis = 0 if sweep.name.endswith("rows") else 1
    values = {"kernel_shape": [1, 1], "pads": [0, 0, 0, 0]}
    values["kernel_shape"][axis] = 2 * radius + 1
    values["pads"][axis] = values["pads"][axis + 2] = radius
    for attribute in sweep.attribute:
        if attribute.name in values:
            attribute.ints[:] = values[attribute.name]
