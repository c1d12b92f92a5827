"""What TensorRT's parser does not read is replaced by what computes the same."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from cutstream.errors import ModelMismatch
from export.formats.tensorrt_graph import fit_to_tensorrt


def model_of(nodes: list, inputs: dict[str, list], output: str, type: int, **constants: np.ndarray) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(output, type, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: ModelProto, **inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def levels(output: str = "again") -> ModelProto:
    nodes = [
        helper.make_node("Cast", ["x"], ["levels"], to=TensorProto.UINT8),
        helper.make_node("Cast", ["levels"], ["again"], to=TensorProto.FLOAT),
    ]
    type = TensorProto.FLOAT if output == "again" else TensorProto.UINT8
    return model_of(nodes, {"x": ["batch", 6]}, output, type)


def test_levels_stay_floats_between_nodes() -> None:
    values = np.array([[0, 0.4, 0.6, 127.5, 254.9, 255]], np.float32)
    fitted = fit_to_tensorrt(levels())
    assert [node.op_type for node in fitted.graph.node] == ["Floor", "Cast"]
    np.testing.assert_array_equal(run(fitted, x=values), run(levels(), x=values))


def test_an_output_stays_u8() -> None:
    assert fit_to_tensorrt(levels("levels")).graph.node == levels("levels").graph.node


@pytest.mark.parametrize("given", ["sizes", "scales"])
def test_a_resize_of_some_axes_becomes_one_by_scales(given: str) -> None:
    constants = {"scales": np.array([3, 2.5], np.float32)} if given == "scales" else {"sizes": np.array([12, 15])}
    inputs = ["x", "", given] if given == "scales" else ["x", "", "", given]
    mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    resize = helper.make_node("Resize", inputs, ["y"], axes=[2, 3], **mode)
    model = model_of([resize], {"x": ["batch", 2, 4, 6]}, "y", TensorProto.FLOAT, **constants)
    fitted = fit_to_tensorrt(model)
    assert [attribute.name for attribute in fitted.graph.node[0].attribute if attribute.name == "axes"] == []
    values = np.random.default_rng(1).random((3, 2, 4, 6), np.float32)
    np.testing.assert_allclose(run(fitted, x=values), run(model, x=values), atol=1e-6)
    assert run(fitted, x=values).shape == (3, 2, 12, 15)


def test_a_resize_of_a_free_size_is_refused() -> None:
    resize = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], axes=[2, 3])
    model = model_of([resize], {"x": ["batch", 2, "rows", "columns"]}, "y", TensorProto.FLOAT, sizes=np.array([9, 9]))
    with pytest.raises(ModelMismatch, match="the size after the resize 'y' is not fixed"):
        fit_to_tensorrt(model)
