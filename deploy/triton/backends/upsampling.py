"""Replace what OpenVINO is slow at: doubling a plane of one channel, as a matte at the end of a network.

Its interpolation works on all channels of a pixel at once, and one channel takes as long as sixteen: an eighth of
cutnet's time. A convolution makes the four pixels that each pixel becomes, and these are then put in their places.
"""

from __future__ import annotations

import numpy as np
import openvino
from openvino import opset13

# The nearer pixel counts three times as much as the farther one, which is before the first of two and after the second.
_PAIR = np.array([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]], np.float32)
_QUAD = np.einsum("iy,jx->ijyx", _PAIR, _PAIR).reshape(4, 1, 3, 3)


def replace_doubling(model: openvino.Model) -> int:
    """Replace bilinear doubling of one channel in place, and return how often. All sizes must be known."""
    doublings = [node for node in model.get_ops() if _doubles_one_channel(node)]
    for node in doublings:
        border = opset13.constant(np.array([0, 0, 1, 1]))
        bordered = opset13.pad(node.input_value(0), border, border, "edge")
        weights = opset13.constant(_QUAD, node.get_input_element_type(0))  # exact in 16 bits, too
        quads = opset13.convolution(bordered, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        doubled = opset13.depth_to_space(quads, "blocks_first", 2)
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(doubled.output(0))
    model.validate_nodes_and_infer_types()
    return len(doublings)


def _doubles_one_channel(node: openvino.Node) -> bool:
    if node.get_type_name() != "Interpolate":
        return False
    attributes = node.get_attributes()
    before, after = node.input(0).get_partial_shape(), node.output(0).get_partial_shape()
    if not before.is_static or not after.is_static or len(before) != 4 or before[1].get_length() != 1:
        return False
    return (
        attributes["mode"] == "linear_onnx"
        and attributes["coordinate_transformation_mode"] == "half_pixel"
        and not any((*attributes["pads_begin"], *attributes["pads_end"]))
        and list(after.to_shape())
        == [size * factor for size, factor in zip(before.to_shape(), (1, 1, 2, 2), strict=True)]
    )
