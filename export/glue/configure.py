"""Glue between networks with the thresholds and radii of the settings."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from cutstream.settings import GlueSettings
from export.glue.load import load_glue

LONG_SIDE = 1000  # radii in the settings are px of an image with this long side


def configure_glue(step: str, height: int, width: int, settings: GlueSettings) -> ModelProto:
    """Load the step's graph for maps of this size and set its thresholds and radii."""
    graph = load_glue(step, height, width)
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
    """Return the radii by the names of the sweeps in `export/glue/between_networks.py`."""
    erode, dilate = settings.trimap.split("/")
    return {
        "edge": settings.depth_edge_radius,
        "close": settings.depth_close_radius,
        "open": settings.depth_open_radius,
        "erode": float(erode),
        "dilate": float(dilate),
    }


def _set_radius(sweep: NodeProto, radius: int) -> None:
    """Set the footprint of a sweep, which is 2 · radius + 1 px long along its axis and 1 px across."""
    axis = 0 if sweep.name.endswith("rows") else 1
    values = {"kernel_shape": [1, 1], "pads": [0, 0, 0, 0]}
    values["kernel_shape"][axis] = 2 * radius + 1
    values["pads"][axis] = values["pads"][axis + 2] = radius
    for attribute in sweep.attribute:
        if attribute.name in values:
            attribute.ints[:] = values[attribute.name]
