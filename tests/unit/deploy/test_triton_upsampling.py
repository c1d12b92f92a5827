from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino", reason="openvino is not installed (extra `local`)")

import openvino
from openvino import opset13

from deploy.triton.backends.upsampling import replace_doubling

CUTNET = Path(__file__).parents[3] / "model_repository" / "cutnet" / "1" / "model.onnx"


def enlarging(shape: tuple[int, ...], factors: tuple[float, float] = (2, 2), **options: str) -> openvino.Model:
    source = opset13.parameter(shape, np.float32)
    options = {"mode": "linear_onnx", "coordinate_transformation_mode": "half_pixel"} | options
    enlarged = opset13.interpolate(
        source, np.float32(factors), options.pop("mode"), "scales", axes=np.array([2, 3]), **options
    )
    return openvino.Model([enlarged], [source])


def run(model: openvino.Model, values: np.ndarray) -> np.ndarray:
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.asarray(openvino.Core().compile_model(model, "CPU", options)([values])[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (16, 16), (5, 33)])
def test_doubling_gives_what_interpolation_gives(size: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(0, 100, (1, 1, *size)).astype(np.float32)
    expected, replaced = run(enlarging((1, 1, *size)), values), enlarging((1, 1, *size))
    assert replace_doubling(replaced) == 1
    made = run(replaced, values)
    assert made.shape == (1, 1, 2 * size[0], 2 * size[1])
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        enlarging((1, 24, 8, 8)),
        enlarging((1, 1, 8, 8), (4, 4)),
        enlarging((1, 1, 8, 8), (2, 4)),
        enlarging((1, 1, 8, 8), mode="nearest"),
        enlarging((1, 1, 8, 8), coordinate_transformation_mode="align_corners"),
    ],
)
def test_everything_else_stays(model: openvino.Model) -> None:
    assert replace_doubling(model) == 0
    assert "Interpolate" in [node.get_type_name() for node in model.get_ops()]


def test_cutnets_matte_is_doubled_that_way() -> None:
    model = openvino.Core().read_model(CUTNET)
    model.reshape({source: [1, *list(source.partial_shape)[1:]] for source in model.inputs})
    assert replace_doubling(model) == 1
