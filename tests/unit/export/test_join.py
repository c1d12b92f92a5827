from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from onnx.helper import make_node as node

from cutstream.errors import ModelMismatch
from export.join import join
from export.parity import reference_input, reference_matte
from tests.support.models import SIDE, disc_of, net, picture_with_blob, small_net


def session(model: ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def joined(model: ModelProto, folder: Path) -> ModelProto:
    onnx.save(model, folder / "net.onnx")
    return join("u2net_normalise", folder / "net.onnx", "u2net_matte")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    return session(joined(small_net(), tmp_path_factory.mktemp("net")))


def matte(engine: onnxruntime.InferenceSession, *pictures: np.ndarray) -> np.ndarray:
    return engine.run(["matte"], {"image": np.stack(pictures)})[0]


def test_takes_pixels_and_gives_a_matte(small) -> None:
    (image,), (output,) = small.get_inputs(), small.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["batch", SIDE, SIDE, 3])
    assert (output.name, output.type, output.shape) == ("matte", "tensor(uint8)", ["batch", SIDE, SIDE])


def test_finds_the_blob(small) -> None:
    found = matte(small, picture_with_blob((200, 120), 50))[0]
    subject, disc = found >= 128, disc_of((200, 120), 50)
    assert (subject & disc).sum() / (subject | disc).sum() > 0.95
    assert (found.min(), found.max()) == (0, 255)


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_constant_picture_is_all_background(small, level: int) -> None:
    assert not matte(small, np.full((SIDE, SIDE, 3), level, np.uint8)).any()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_published_pipeline(small, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    bare = session(small_net())
    expected = reference_matte(bare.run(["1959"], {"input.1": reference_input(image)})[0])
    assert np.abs(matte(small, image)[0].astype(int) - expected.astype(int)).max() <= 1


def test_a_picture_does_not_see_its_neighbours(small) -> None:
    dark, bright = picture_with_blob((100, 100), 30) // 4, picture_with_blob((220, 220), 60)
    together = matte(small, dark, bright)
    assert np.array_equal(together[0], matte(small, dark)[0])
    assert np.array_equal(together[1], matte(small, bright)[0])


def test_side_outputs_are_left_out(tmp_path: Path) -> None:
    assert not [n for n in joined(small_net(), tmp_path).graph.node if "1960" in n.output]


def test_frees_a_batch_that_an_old_exporter_fixed(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["input.1", "sum"], ["half"], pads=[1] * 4, strides=[2, 2]),
        node("Constant", [], ["size"], value=onnx.numpy_helper.from_array(np.array([1, 1, SIDE, SIDE]))),
        node("Resize", ["half", "", "", "size"], ["full"], mode="linear"),
        node("Sigmoid", ["full"], ["out"]),
    ]
    constants = {"sum": np.full((1, 3, 3, 3), 1 / 27, np.float32)}
    engine = session(joined(net(nodes, constants, ["out"], batch=1, opset=11), tmp_path))
    pictures = [picture_with_blob((x, 100), 40) for x in (60, 160, 260)]
    together = matte(engine, *pictures)
    assert all(np.array_equal(one, matte(engine, picture)[0]) for one, picture in zip(together, pictures, strict=True))


def test_a_net_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", ["input.1"], ["pooled"]), node("Flatten", ["pooled"], ["out"])]
    with pytest.raises(ModelMismatch, match=r"net\.onnx does not fit between u2net_normalise and u2net_matte"):
        joined(net(nodes, {}, ["out"]), tmp_path)


def test_a_file_that_is_no_onnx_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelMismatch, match=r"net\.onnx"):
        join("u2net_normalise", tmp_path / "net.onnx", "u2net_matte")
