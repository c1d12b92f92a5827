"""Every engine writes the same receipt, in every precision."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from onnx import ModelProto, TensorProto, helper

from cutstream.errors import ModelMismatch
from cutstream.receipts import SUMS, digest_numbers, sums
from cutstream.settings import GlueSettings
from export.formats.receipt import add_receipt
from export.glue.configure import configure_glue
from export.profiles import network_file
from tests.support.receipts import DIGEST, receipt_of

LARGEST = "f" * 64  # every digit of a digest must survive reduced precision


def openvino_run(graph: ModelProto, precision: str, **tensors: np.ndarray) -> list[np.ndarray]:
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(core.read_model(graph.SerializeToString()), "CPU", options)
    return [value.copy() for value in compiled(tensors).values()]


def onnxruntime_run(graph: ModelProto, **tensors: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, tensors)


@pytest.mark.parametrize("engine", ["onnxruntime", "f32", "bf16"])
def test_the_receipt_of_a_network_is_exact_in_every_engine(engine: str) -> None:
    if engine == "bf16" and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    graph = add_receipt(onnx.load(network_file("cutnet")), LARGEST)
    images = np.random.default_rng(0).integers(0, 256, (2, 320, 320, 3), np.uint8)
    images[1] = 255
    if engine == "onnxruntime":
        matte, receipt = onnxruntime_run(graph, image=images)
    else:
        matte, receipt = openvino_run(graph, engine, image=images)
    assert receipt.dtype == np.int32
    assert np.array_equal(receipt, receipt_of(images, matte, digest=LARGEST))


def test_inputs_come_before_outputs_and_both_by_name() -> None:
    graph = add_receipt(configure_glue("intersection", 512, 512, GlueSettings()), DIGEST)
    near, semantics = np.random.default_rng(0).integers(0, 256, (2, 1, 512, 512), np.uint8)
    matte, receipt = onnxruntime_run(graph, near=near, semantics=semantics)
    assert np.array_equal(receipt, receipt_of(near, semantics, matte))


def passing(kind: int, *dims: int) -> ModelProto:
    """A graph that passes its input on."""
    values = [helper.make_tensor_value_info(name, kind, ["batch", *dims]) for name in ("given", "passed")]
    nodes = [helper.make_node("Identity", ["given"], ["passed"])]
    graph = helper.make_graph(nodes, "passing", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_boxes_are_counted_by_their_numbers() -> None:
    boxes = np.random.default_rng(0).random((2, 8, 4), np.float32)
    _, receipt = onnxruntime_run(add_receipt(passing(TensorProto.FLOAT, 8, 4), DIGEST), given=boxes)
    expected = np.tile(np.round(boxes.reshape(2, 32).astype(float) * 2**20), 2)
    assert np.array_equal(receipt[:, :SUMS], expected)
    assert np.array_equal(receipt[:, SUMS : 2 * SUMS], expected)
    assert np.array_equal(receipt[:, 2 * SUMS :], np.tile(digest_numbers(DIGEST), (2, 1)))


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        (passing(TensorProto.UINT8, 324, 320, 3), "324×320 px.*multiples of 8"),
        (passing(TensorProto.UINT8, 320, 324), "320×324 px"),
        (passing(TensorProto.UINT8, 2048, 2048, 3), "at most 1184×1184"),
        (passing(TensorProto.FLOAT, 9, 4), "36 numbers per image"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(graph: ModelProto, problem: str) -> None:
    with pytest.raises(ModelMismatch, match=problem):
        add_receipt(graph, DIGEST)


def test_the_sums_are_those_of_the_client() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 1024, 1024, 3), np.uint8)
    _, receipt = onnxruntime_run(add_receipt(passing(TensorProto.UINT8, 1024, 1024, 3), DIGEST), given=image)
    assert np.array_equal(receipt[:, :SUMS], sums(image))
