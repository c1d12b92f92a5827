from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from onnx.helper import make_node as node

from cutstream.errors import ModelMismatch
from cutstream.settings import ModelSettings
from export.formats.parity import reference_input, reference_matte
from export.glue.join import join
from export.weights.catalogue import find_model
from tests.support.models import SIDE, detector, disc_of, make_network, picture_with_blob, small_network

U2NETP = find_model("u2netp", ModelSettings())


def session(model: ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def joined(model: ModelProto, folder: Path) -> ModelProto:
    onnx.save(model, folder / "net.onnx")
    return join(U2NETP, folder / "net.onnx")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    return session(joined(small_network(), tmp_path_factory.mktemp("net")))


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


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_published_pipeline(small, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    bare = session(small_network())
    expected = reference_matte(bare.run(["1959"], {"input.1": reference_input(image)})[0])
    assert np.abs(matte(small, image)[0].astype(int) - expected.astype(int)).max() <= 1


def test_a_picture_does_not_see_its_neighbours(small) -> None:
    dark, bright = picture_with_blob((100, 100), 30) // 4, picture_with_blob((220, 220), 60)
    together = matte(small, dark, bright)
    assert np.array_equal(together[0], matte(small, dark)[0])
    assert np.array_equal(together[1], matte(small, bright)[0])


def test_side_outputs_are_left_out(tmp_path: Path) -> None:
    assert not [n for n in joined(small_network(), tmp_path).graph.node if "1960" in n.output]


def test_frees_a_batch_that_an_old_exporter_fixed(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["input.1", "sum"], ["half"], pads=[1] * 4, strides=[2, 2]),
        node("Constant", [], ["size"], value=onnx.numpy_helper.from_array(np.array([1, 1, SIDE, SIDE]))),
        node("Resize", ["half", "", "", "size"], ["full"], mode="linear"),
        node("Sigmoid", ["full"], ["out"]),
    ]
    constants = {"sum": np.full((1, 3, 3, 3), 1 / 27, np.float32)}
    engine = session(joined(make_network(nodes, constants, ["out"], batch=1, opset=11), tmp_path))
    pictures = [picture_with_blob((x, 100), 40) for x in (60, 160, 260)]
    together = matte(engine, *pictures)
    assert all(np.array_equal(one, matte(engine, picture)[0]) for one, picture in zip(together, pictures, strict=True))


def test_frees_a_batch_that_is_baked_into_shapes(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMean", ["input.1", "plane"], ["grey"]),
        node("Reshape", ["grey", "flat"], ["row"]),
        node("Slice", ["row", "from", "to"], ["all"]),
        node("Reshape", ["all", "square"], ["out"]),
    ]
    constants = {
        "plane": np.array([1]),
        "flat": np.array([1, SIDE * SIDE]),
        "from": np.array([0, 0]),
        "to": np.array([1, SIDE * SIDE]),
        "square": np.array([1, 1, SIDE, SIDE]),
    }
    engine = session(joined(make_network(nodes, constants, ["out"], batch=1), tmp_path))
    pictures = [picture_with_blob((x, 100), 40) for x in (60, 160)]
    together = matte(engine, *pictures)
    assert all(np.array_equal(one, matte(engine, picture)[0]) for one, picture in zip(together, pictures, strict=True))


def test_a_network_for_one_image_is_not_given_two(tmp_path: Path) -> None:
    """Old exports shuffle channels through a shape that contains the batch."""
    nodes = [
        node("Reshape", ["input.1", "groups"], ["grouped"]),
        node("ReduceMean", ["grouped", "plane"], ["mean"]),
        node("Reshape", ["mean", "picture"], ["out"]),
    ]
    constants = {
        "groups": np.array([3, SIDE, SIDE]),
        "plane": np.array([0]),
        "picture": np.array([1, 1, SIDE, SIDE]),
    }
    single = make_network(nodes, constants, ["out"], batch=1)
    with pytest.raises(ModelMismatch, match=r"takes one image at a time.*one_at_a_time = true"):
        joined(single, tmp_path)
    model = msgspec.structs.replace(U2NETP, one_at_a_time=True)
    assert matte(session(join(model, tmp_path / "net.onnx")), picture_with_blob((160, 100), 40)).any()


def test_a_network_of_another_size_gets_the_picture_resized_and_its_map_back(small, tmp_path: Path) -> None:
    onnx.save(small_network(), tmp_path / "net.onnx")
    engine = session(join(U2NETP, tmp_path / "net.onnx", 200, 480))
    assert engine.get_inputs()[0].shape == ["batch", 200, 480, 3]
    picture = picture_with_blob((200, 120), 50)
    wide = cv2.resize(picture, (480, 200), interpolation=cv2.INTER_LINEAR)
    found = engine.run(["matte"], {"image": np.stack([wide, wide[::-1]])})[0]
    own = matte(small, cv2.resize(wide, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))[0]
    expected = cv2.resize(own, (480, 200), interpolation=cv2.INTER_LINEAR)
    assert found.shape == (2, 200, 480)
    assert np.abs(found[0].astype(int) - expected).max() <= 2


def test_nodes_that_a_converter_appended_find_their_place(small, tmp_path: Path) -> None:
    unsorted = small_network()
    nodes = list(reversed(unsorted.graph.node))
    unsorted.graph.ClearField("node")
    unsorted.graph.node.extend(nodes)
    picture = picture_with_blob((90, 90), 40)
    assert np.array_equal(matte(session(joined(unsorted, tmp_path)), picture), matte(small, picture))


def test_the_catalogue_chooses_outputs_and_fixes_inputs(tmp_path: Path) -> None:
    """A video network needs this: a gain that never changes, and the alpha after the state."""
    nodes = [
        node("Mul", ["input.1", "gain"], ["scaled"]),
        node("ReduceMax", ["scaled", "plane"], ["state"]),
        node("ReduceMean", ["scaled", "plane"], ["alpha"]),
    ]
    two = make_network(nodes, {"plane": np.array([1])}, ["state", "alpha"])
    two.graph.input.append(onnx.helper.make_tensor_value_info("gain", onnx.TensorProto.FLOAT, [1]))
    model = msgspec.structs.replace(U2NETP, activate="alpha_matte", gives=("alpha",), constants={"gain": [0.0]})
    onnx.save(two, tmp_path / "net.onnx")
    assert not matte(session(join(model, tmp_path / "net.onnx")), picture_with_blob((90, 90), 40)).any()
    for changes, words in (
        ({"gives": ("beta",)}, "no output beta"),
        ({"constants": {"g": [0.0]}}, "no input g"),
        ({"takes": {"boxes": (8, 4)}}, "no input boxes"),
    ):
        with pytest.raises(ModelMismatch, match=words):
            join(msgspec.structs.replace(model, **changes), tmp_path / "net.onnx")


@pytest.mark.parametrize("size", [(640, 640), (320, 512)])
def test_boxes_are_shares_of_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    onnx.save(detector((160, 320), (64, 128)), tmp_path / "net.onnx")
    engine = session(join(find_model("yolov8n_boxes", ModelSettings()), tmp_path / "net.onnx", *size))
    (output,) = engine.get_outputs()
    assert (output.name, output.type, output.shape) == ("boxes", "tensor(float)", ["batch", 8, 4])
    boxes = engine.run(None, {"image": np.zeros((2, *size, 3), np.uint8)})[0]
    np.testing.assert_allclose(boxes[:, 0], [[0.2, 0.4, 0.3, 0.6]] * 2, atol=1e-6)
    assert not boxes[:, 1:].any()


def test_a_network_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", ["input.1"], ["pooled"]), node("Flatten", ["pooled"], ["out"])]
    with pytest.raises(ModelMismatch, match=r"net\.onnx does not fit between u2net_normalise and u2net_matte"):
        joined(make_network(nodes, {}, ["out"]), tmp_path)


def test_a_file_that_is_no_onnx_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelMismatch, match=r"net\.onnx"):
        join(U2NETP, tmp_path / "net.onnx")


def test_a_network_of_another_size_than_its_trimap_is_refused_by_name(tmp_path: Path) -> None:
    onnx.save(small_network(), tmp_path / "net.onnx")
    model = msgspec.structs.replace(U2NETP, normalise="trimap_normalise", activate="alpha_matte")
    with pytest.raises(ModelMismatch, match="with a trimap it must have the size of its step, 512×512"):
        join(model, tmp_path / "net.onnx", 512, 512)
