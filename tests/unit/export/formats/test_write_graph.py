"""A served graph in other precisions: its types, how close it stays to fp32, and what is refused."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.helper import make_node as node
from PIL import Image
from tritonclient.grpc import model_config_pb2 as pb

from cutstream.errors import ConfigurationError, InvalidOption, ModelMismatch, WeightsMissing
from cutstream.settings import GraphPrecision, ModelSettings, Settings, StackSettings
from export.formats import write_graph
from export.formats.casts import Half, convert_to_half, emulate_bf16, nodes_between_weights
from export.formats.parity import Parity
from export.formats.served_graph import ExportReport, report_path, require_stored_graph, stored_path
from export.formats.simplify import check_graph, simplify
from export.formats.tolerances import TOLERANCES, require_within_tolerance
from export.formats.write_graph import SAMPLE_PHOTOS, matte_function, write
from export.profiles import network_file
from export.repository.render import render
from export.weights.catalogue import find_model
from export.weights.store import sha256
from tests.support.models import picture_with_blob, small_models

PRECISIONS: list[GraphPrecision] = list(TOLERANCES)


@pytest.fixture(scope="module")
def photos() -> Path:
    pytest.importorskip("skimage", reason="scikit-image is not installed (extra `local`)")
    return Path(str(resources.files("skimage"))) / "data"


@pytest.fixture(scope="module")
def few(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of people, animals and things, as a folder."""
    folder = tmp_path_factory.mktemp("photos")
    for name in SAMPLE_PHOTOS:
        (folder / name).write_bytes((photos / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def exact() -> ModelProto:
    return simplify(onnx.load(network_file("cutnet")))


@pytest.fixture(scope="module")
def written(few: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[GraphPrecision, Path]:
    """cutnet in every precision."""
    settings = ModelSettings(store=tmp_path_factory.mktemp("store"))
    model = find_model("cutnet", settings)
    paths = {precision: stored_path(model, precision, settings) for precision in PRECISIONS}
    for precision, path in paths.items():
        write(model, precision, few, settings, path)
    return paths


def kinds(graph: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node)


def two_convolutions() -> ModelProto:
    """u8 `image` N×8×8×3 → u8 `matte` N×8×8, with a Resize and a Celu between its convolutions."""
    weights = np.full((3, 3, 1, 1), 1 / 3, np.float32)
    nodes = [
        node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
        node("Transpose", ["levels"], ["planes"], perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "weights"], ["mixed"]),
        node("Resize", ["mixed", "", "twice"], ["large"], mode="nearest"),
        node("Celu", ["large"], ["positive"]),
        node("Relu", ["positive"], ["same"]),
        node("MaxPool", ["same"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["pooled", "weights"], ["last"]),
        node("ReduceMean", ["last", "channel"], ["mean"], keepdims=0),
        node("Cast", ["mean"], ["matte"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 8, 3])],
        [helper.make_tensor_value_info("matte", TensorProto.UINT8, ["batch", 8, 8])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"),
            numpy_helper.from_array(np.array([1]), "channel"),
        ],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])


def test_a_simplified_graph_has_fewer_nodes_and_answers_alike(exact: ModelProto) -> None:
    original = onnx.load(network_file("cutnet"))
    assert (len(original.graph.node), len(exact.graph.node)) == (334, 165)
    assert not {"BatchNormalization", "Constant", "Pad"} & set(kinds(exact))
    assert [opset.domain for opset in exact.opset_import] == [""]
    picture = picture_with_blob((150, 150), 60)
    assert np.abs(matte_function(original)(picture).astype(int) - matte_function(exact)(picture)).max() <= 1


def test_an_invalid_graph_is_a_mismatch() -> None:
    wrong = two_convolutions()
    wrong.graph.node[3].op_type = "Rezise"
    with pytest.raises(ModelMismatch, match="ONNX Runtime cannot load the graph"):
        simplify(wrong)
    with pytest.raises(ModelMismatch, match="not valid ONNX"):
        check_graph(wrong)


def test_from_first_to_last_weights_everything_is_half(exact: ModelProto) -> None:
    half = convert_to_half(exact, "fp16")
    assert kinds(half)["Cast"] == kinds(exact)["Cast"] + 2
    names = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    for convolution in (one for one in half.graph.node if one.op_type == "Conv"):
        assert {names[name] for name in convolution.input[1:]} == {TensorProto.FLOAT16}
    assert len(half.SerializeToString()) < 0.51 * len(exact.SerializeToString())


@pytest.mark.parametrize("half", ["fp16", "bf16"])
def test_casts_are_put_where_the_type_is_not_allowed(half: Half) -> None:
    graph = two_convolutions()
    assert len(nodes_between_weights(graph)) == 6
    cast = check_graph(convert_to_half(graph, half))
    (resize,) = [one for one in cast.graph.node if one.op_type == "Resize"]
    assert resize.input[0].endswith(f"/{half}")
    assert resize.input[2] == "twice"  # scales stay fp32
    (celu,) = [one for one in cast.graph.node if one.op_type == "Celu"]
    assert list(celu.input) == ["large"]  # ONNX allows it only in fp32
    assert kinds(cast)["Cast"] == 2 + 2 + 2  # pixels, the network, and what stays in fp32 in its middle
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    runs_here = emulate_bf16(cast) if half == "bf16" else cast
    assert np.abs(matte_function(runs_here)(picture).astype(int) - matte_function(graph)(picture)).max() <= (
        1 if half == "fp16" else 2
    )


def test_bf16_is_judged_as_it_rounds(exact: ModelProto) -> None:
    """ONNX Runtime has no bf16 convolution for CPUs. OpenVINO has one, and its difference from fp32 is as large."""
    half = check_graph(convert_to_half(exact, "bf16"))
    with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
        onnxruntime.InferenceSession(half.SerializeToString(), providers=["CPUExecutionProvider"])
    openvino = pytest.importorskip("openvino", reason="openvino is not installed (extra `local`)")
    picture = picture_with_blob((150, 150), 60)
    precise, judged = matte_function(exact)(picture).astype(int), matte_function(emulate_bf16(half))(picture)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(half.SerializeToString()), "CPU")
    ran = compiled([picture[None]])[0][0]
    assert 0 < np.abs(judged - precise).mean() < 2
    assert np.abs(ran - precise).mean() < 2


def test_every_precision_is_near_enough_and_says_how_near(written: dict[GraphPrecision, Path]) -> None:
    reports = {
        precision: msgspec.json.decode(report_path(path).read_bytes(), type=ExportReport)
        for precision, path in written.items()
    }
    for precision, report in reports.items():
        assert (report.precision, report.photos, report.nodes_before) == (precision, 5, 334)
        assert report.sha256 == sha256(written[precision])
        assert report.mean_iou >= TOLERANCES[precision].mean_iou
        assert report.summary().startswith(f"{report.nodes} nodes of 334; compared with fp32 on 5 photos: mean IoU ")
    differences = [reports[precision].mean_difference for precision in PRECISIONS]
    assert differences == sorted(differences)
    assert differences[0] < differences[1]
    sizes = [path.stat().st_size for path in written.values()]
    assert sizes[3] < sizes[1] == sizes[2] < sizes[0]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_pixels_go_in_and_out_for_any_batch(written: dict[GraphPrecision, Path], precision: GraphPrecision) -> None:
    session = onnxruntime.InferenceSession(written[precision], providers=["CPUExecutionProvider"])
    pictures = np.stack([picture_with_blob(centre, 60) for centre in ((100, 100), (200, 150), (160, 220))])
    (mattes,) = session.run(["matte"], {"image": pictures})
    assert (mattes.shape, mattes.dtype) == ((3, 320, 320), np.uint8)
    assert np.abs(mattes[1].astype(int) - session.run(["matte"], {"image": pictures[1:2]})[0][0]).max() <= 1


def test_int8_is_what_tensorrt_reads(written: dict[GraphPrecision, Path]) -> None:
    """Scales around zero, and a convolution's output and bias in fp32."""
    graph = onnx.load(written["int8"])
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    quantisers = [one for one in graph.graph.node if one.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert all(tensors[one.input[2]].dtype == np.int8 and not tensors[one.input[2]].any() for one in quantisers)
    makers = {name: one.op_type for one in graph.graph.node for name in one.output}
    convolutions = [one for one in graph.graph.node if one.op_type == "Conv"]
    assert all(makers[name] == "DequantizeLinear" for one in convolutions for name in one.input[:2])
    assert all(tensors[one.input[2]].dtype == np.float32 for one in convolutions)


def test_int8_wants_photos(tmp_path: Path) -> None:
    settings = ModelSettings(store=tmp_path)
    model = find_model("cutnet", settings)
    with pytest.raises(InvalidOption, match=r"int8 is calibrated on photos: .* --photos"):
        write(model, "int8", None, settings, tmp_path / "int8.onnx")
    with pytest.raises(InvalidOption, match="has no file with suffix"):
        write(model, "int8", tmp_path, settings, tmp_path / "int8.onnx")
    assert not list(tmp_path.iterdir())


def test_photos_that_calibrate_do_not_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        Image.new("RGB", (32, 32), (number,) * 3).save(tmp_path / f"{number}.png")
    seen: dict[str, list[int]] = {}

    def convert(graph: ModelProto, precision: str, pictures: list[np.ndarray]) -> ModelProto:
        seen["calibrating"] = [int(picture.mean()) for picture in pictures]
        return graph

    def compare(one, other, pictures: list[np.ndarray]) -> Parity:
        seen["judging"] = [int(picture.mean()) for picture in pictures]
        return Parity(len(pictures), 0, 0.0, 1.0, 1.0)

    monkeypatch.setattr(write_graph, "convert", convert)
    monkeypatch.setattr(write_graph, "compare", compare)
    settings = ModelSettings(store=tmp_path / "store")
    write(find_model("cutnet", settings), "int8", tmp_path, settings, tmp_path / "int8.onnx")
    assert seen == {"calibrating": [0, 2, 4, 6, 8], "judging": [1, 3, 5, 7, 9]}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_too_far_from_fp32_is_a_mismatch(precision: GraphPrecision) -> None:
    good = Parity(photos=5, max_difference=1, mean_difference=0.05, mean_iou=0.9995, min_iou=0.9995)
    require_within_tolerance(good, precision)
    for mean_iou, mean_difference in ((0.9, 0.05), (0.9995, 9.0), (float("nan"), 0.05)):
        with pytest.raises(ModelMismatch, match=f"in {precision} the mattes of 5 photos differ too much from fp32"):
            require_within_tolerance(Parity(5, 1, mean_difference, mean_iou, mean_iou), precision)


def test_nothing_is_written_of_a_graph_that_differs(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def inverted(graph: ModelProto, *_: object) -> ModelProto:
        other = ModelProto()
        other.CopyFrom(graph)
        (sigmoid,) = [one for one in other.graph.node if one.op_type == "Sigmoid"]
        other.graph.node.insert(list(other.graph.node).index(sigmoid), node("Neg", [sigmoid.input[0]], ["negative"]))
        (sigmoid,) = [one for one in other.graph.node if one.op_type == "Sigmoid"]
        sigmoid.input[0] = "negative"
        return other

    monkeypatch.setattr(write_graph, "convert", inverted)
    settings = ModelSettings(store=tmp_path)
    with pytest.raises(ModelMismatch, match="differ too much"):
        write(find_model("cutnet", settings), "fp16", few, settings, tmp_path / "fp16.onnx")
    assert not list(tmp_path.iterdir())


def test_a_joined_network_goes_the_same_way_and_is_served(few: Path, tmp_path: Path) -> None:
    models = small_models(tmp_path / "models").model_copy(update={"graph_precision": "fp16"})
    settings = Settings(models=models, stack=StackSettings(state=tmp_path / "state"))
    model = find_model("u2netp", models)
    with pytest.raises(WeightsMissing, match=r"is missing: make it with `cutstream export u2netp --precision fp16`"):
        render(settings)
    write(model, "fp16", few, models, stored_path(model, "fp16", models))
    served = render(settings)
    (stored,) = models.store.glob("*.onnx")
    stored.unlink()
    path = require_stored_graph(model, "fp16", models)
    assert not stored.exists()  # it knows that of the mirror, and copies nothing
    assert (served / "u2netp" / "1" / "model.onnx").read_bytes() == path.read_bytes()
    config = text_format.Parse((served / "u2netp" / "config.pbtxt").read_text(), pb.ModelConfig())
    assert config.parameters["digest"].string_value == sha256(path)
    report = msgspec.json.decode(report_path(path).read_bytes(), type=ExportReport)
    assert config.parameters["graph"].string_value == report.graph
    render(settings.model_copy(update={"models": models.model_copy(update={"graph_precision": "fp32"})}))
    assert (served / "u2netp" / "1" / "model.onnx").read_bytes() != path.read_bytes()


def test_a_graph_of_other_weights_or_damaged_is_not_served(few: Path, tmp_path: Path) -> None:
    models = small_models(tmp_path / "models")
    model = find_model("u2netp", models)
    path = stored_path(model, "fp16", models)
    report = write(model, "fp16", few, models, path)
    report_path(path).write_bytes(msgspec.json.encode(msgspec.structs.replace(report, source="0" * 64)))
    with pytest.raises(WeightsMissing, match="is made from other weights or other glue"):
        require_stored_graph(model, "fp16", models)
    report_path(path).write_bytes(msgspec.json.encode(msgspec.structs.replace(report, graph="")))
    with pytest.raises(WeightsMissing, match="earlier release, without receipts: make it with"):
        require_stored_graph(model, "fp16", models)
    report_path(path).write_bytes(msgspec.json.encode(report))
    assert require_stored_graph(model, "fp16", models) == path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsMissing, match="is damaged"):
        require_stored_graph(model, "fp16", models)


def test_bf16_is_not_given_to_an_engine_without_it(tmp_path: Path) -> None:
    models = ModelSettings(store=tmp_path, graph_precision="bf16", engine="onnxruntime")
    with pytest.raises(ConfigurationError, match="CUTSTREAM_MODELS__ENGINE=openvino runs them"):
        render(Settings(models=models, stack=StackSettings(state=tmp_path / "state")))


def test_a_network_with_a_trimap_gets_one_that_is_unknown_everywhere(exact: ModelProto) -> None:
    graph = ModelProto()
    graph.CopyFrom(exact)
    graph.graph.input.append(helper.make_tensor_value_info("trimap", TensorProto.UINT8, ["batch", 320, 320]))
    fed = write_graph.feed(graph, picture_with_blob((150, 150), 60))
    assert (fed["image"].shape, fed["trimap"].shape) == ((1, 320, 320, 3), (1, 320, 320))
    assert np.unique(fed["trimap"]).tolist() == [128]


def test_boxes_are_judged_by_what_they_hold() -> None:
    graph = helper.make_graph(
        [node("Identity", ["boxes"], ["given"])],
        "boxes",
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", 8, 4])],
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, ["batch", 8, 4])],
    )
    same = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    picture = np.zeros((40, 60, 3), np.uint8)
    assert (matte_function(same)(picture) == np.full((40, 60), 255)).all()  # its input box, the whole image
