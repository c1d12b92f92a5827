"""Building plans with the real bindings. Only TensorRT and the GPU are replaced."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from cutstream.errors import ConfigurationError, ModelMismatch, WeightsMissing
from cutstream.settings import ModelSettings, Settings, StackSettings, TritonSettings
from export.formats import machine as machines
from export.formats import tensorrt_plan
from export.formats.machine import Machine, detect_machine, import_tensorrt
from export.formats.served_graph import report_path, stored_path
from export.formats.tensorrt_plan import Plan, build, profile_shapes, require_plan, write_plan
from export.formats.write_graph import write
from export.profiles import network_file
from export.repository import render as repository
from export.repository.render import render
from export.weights.catalogue import find_model
from export.weights.store import sha256
from tests.support.tensorrt import FUNCTIONS, StandIns, check, load_bindings, signatures

HERE = Machine(gpu="NVIDIA L4", compute_capability="8.9", driver="580.95.05", tensorrt="11.4.0.106")
RESULTS = {"Builder_build_serialized_network": b"plan", "ITimingCache_serialize": b"timings"}


@pytest.fixture(scope="module")
def bindings(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return load_bindings(tmp_path_factory.mktemp("tensorrt"))


@pytest.fixture(scope="module")
def graph() -> bytes:
    return network_file("cutnet").read_bytes()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    """A store with cutnet in fp16."""
    settings = ModelSettings(store=tmp_path_factory.mktemp("store"), graph_precision="fp16", engine="tensorrt")
    model = find_model("cutnet", settings)
    write(model, "fp16", None, settings, stored_path(model, "fp16", settings))
    return settings


@pytest.fixture
def planned(exported: ModelSettings, bindings: ModuleType, tmp_path: Path) -> ModelSettings:
    """A separate store that also has the plan."""
    shutil.copytree(exported.store, tmp_path / "store")
    settings = exported.model_copy(update={"store": tmp_path / "store"})
    model = find_model("cutnet", settings)
    graph, plan = (stored_path(model, "fp16", settings, suffix) for suffix in (".onnx", ".plan"))
    write_plan(StandIns(bindings, **RESULTS), model, "fp16", settings, HERE, graph, plan)
    return settings


def test_a_plan_is_built_for_every_batch(bindings: ModuleType, graph: bytes) -> None:
    trt = StandIns(bindings, **RESULTS)
    shapes = profile_shapes(onnx.load_from_string(graph), 8)
    built = build(trt, graph, shapes, b"earlier")
    assert (built.plan, built.timing_cache) == (b"plan", b"timings")
    one, eight = (1, 320, 320, 3), (8, 320, 320, 3)
    trt.latest["IOptimizationProfile"].set_shape.assert_called_once_with("image", one, eight, eight)
    trt.latest["OnnxParser"].parse.assert_called_once_with(graph)
    config = trt.latest["IBuilderConfig"]
    config.add_optimization_profile.assert_called_once_with(trt.latest["IOptimizationProfile"])
    config.create_timing_cache.assert_called_once_with(b"earlier")
    (flags,) = trt.latest["Builder"].create_network.call_args.args
    assert flags == 1 << int(bindings.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def test_precision_is_no_flag_of_the_builder(bindings: ModuleType) -> None:
    """If a release brings such flags back, casts in the graph may no longer be enough."""
    assert not {"FP16", "BF16", "INT8"} & set(bindings.BuilderFlag.__members__)
    assert not hasattr(bindings, "IInt8EntropyCalibrator2")


def test_timings_of_another_gpu_are_begun_anew(bindings: ModuleType, graph: bytes) -> None:
    trt = StandIns(bindings, **RESULTS, IBuilderConfig_set_timing_cache=False)
    build(trt, graph, profile_shapes(onnx.load_from_string(graph), 8), b"of another GPU")
    assert [call.args for call in trt.latest["IBuilderConfig"].create_timing_cache.mock_calls] == [
        (b"of another GPU",),
        (b"",),
    ]


def test_what_tensorrt_cannot_run_is_named(bindings: ModuleType, graph: bytes) -> None:
    trt = StandIns(
        bindings,
        OnnxParser_parse=False,
        OnnxParser_num_errors=1,
        ParserError_node=7,
        ParserError_node_name="grid",
        ParserError_node_operator="GridSample",
        ParserError_desc="5-D input is not supported",
    )
    with pytest.raises(ModelMismatch, match=r"node 7 'grid' \(GridSample\): 5-D input is not supported"):
        build(trt, graph, {}, b"")


@pytest.mark.parametrize(
    ("results", "named"),
    [
        ({"IBuilderConfig_add_optimization_profile": -1}, "accepts no batches"),
        ({"Builder_build_serialized_network": None}, "built no plan"),
    ],
)
def test_a_building_that_fails_is_a_mismatch(
    bindings: ModuleType, graph: bytes, results: dict[str, object], named: str
) -> None:
    with pytest.raises(ModelMismatch, match=named):
        build(StandIns(bindings, **RESULTS | results), graph, {}, b"")


def test_a_name_or_an_argument_that_the_bindings_lack_is_found_out(bindings: ModuleType) -> None:
    trt = StandIns(bindings)
    with pytest.raises(AttributeError, match="Bilder"):
        trt.Bilder(trt.Logger())
    with pytest.raises(AttributeError, match="WORKSPACES"):
        _ = trt.MemoryPoolType.WORKSPACES
    with pytest.raises(AttributeError, match="WARN"):
        _ = trt.Logger.WARN
    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    with pytest.raises(AttributeError, match="create_bilder_config"):
        builder.create_bilder_config()
    config = builder.create_builder_config()
    with pytest.raises(AttributeError, match="builder_optimisation_level"):
        config.builder_optimisation_level = 3
    config.builder_optimization_level = 3
    profile = builder.create_optimization_profile()
    with pytest.raises(TypeError, match=r"IOptimizationProfile\.set_shape takes"):
        profile.set_shape("image", (1,), (8,))
    with pytest.raises(TypeError, match=r"IOptimizationProfile\.set_shape takes"):
        profile.set_shape("image", (1,), (8,), maximum=(8,))
    profile.set_shape("image", (1,), (8,), max=(8,))


def test_every_method_that_building_uses_says_what_it_takes(bindings: ModuleType) -> None:
    (set_shape,) = signatures(bindings.IOptimizationProfile.set_shape)
    assert (set_shape.names, set_shape.required) == (("input", "min", "opt", "max"), 4)
    (parse,) = signatures(bindings.OnnxParser.parse)
    assert (parse.names, parse.required, parse.annotation) == (("model", "path"), 1, "bool")
    assert check(bindings.Builder, "create_network", (), {}) == "INetworkDefinition"
    assert len(signatures(bindings.Builder.build_serialized_network)) == 2
    assert len(set(FUNCTIONS)) == 10


def test_a_plan_lies_beside_what_it_is_bound_to(planned: ModelSettings) -> None:
    model = find_model("cutnet", planned)
    path = require_plan(model, "fp16", planned, HERE)
    assert path.read_bytes() == b"plan"
    plan = msgspec.json.decode(report_path(path).read_bytes(), type=Plan)
    assert (plan.machine, plan.precision) == (HERE, "fp16")
    assert plan.onnx_sha256 == sha256(stored_path(model, "fp16", planned))
    assert plan.shapes["image"].maximum == (8, 320, 320, 3)
    (timings,) = path.parent.glob("*.timings")
    assert (timings.name, timings.read_bytes()) == ("tensorrt-11.4.0.106-NVIDIA-L4.timings", b"timings")
    newer = msgspec.structs.replace(HERE, driver="590.10")
    assert require_plan(model, "fp16", planned, newer) == path


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gpu": "NVIDIA T4"}, "built for gpu NVIDIA L4, but this machine has NVIDIA T4"),
        ({"compute_capability": "9.0"}, "built for compute capability 8.9, but this machine has 9.0"),
        ({"tensorrt": "10.13.3"}, "built for tensorrt 11.4.0.106, but this machine has 10.13.3"),
    ],
)
def test_a_plan_of_another_machine_is_refused(planned: ModelSettings, changes: dict[str, str], named: str) -> None:
    elsewhere = msgspec.structs.replace(HERE, **changes)
    with pytest.raises(ConfigurationError, match=named) as refused:
        require_plan(find_model("cutnet", planned), "fp16", planned, elsewhere)
    assert "Build it again with `cutstream export cutnet --precision fp16 --to tensorrt`" in str(refused.value)


def test_a_plan_that_is_not_what_it_was_is_refused(planned: ModelSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    model = find_model("cutnet", planned)
    path = stored_path(model, "fp16", planned, ".plan")
    with pytest.raises(WeightsMissing, match=r"int8\.plan is missing: .*int8 --photos FOLDER --to tensorrt"):
        require_plan(model, "int8", planned, HERE)
    with monkeypatch.context() as other:
        other.setattr(tensorrt_plan, "max_batch_of", lambda step: 16)
        with pytest.raises(ConfigurationError, match="accepts batches of 8, but max_batch_size is 16"):
            require_plan(model, "fp16", planned, HERE)
    with monkeypatch.context() as other:
        other.setattr(tensorrt_plan, "source_digest", lambda *_: "0" * 64)
        with pytest.raises(ConfigurationError, match="built from other weights or other glue"):
            require_plan(model, "fp16", planned, HERE)
    plan = msgspec.json.decode(report_path(path).read_bytes(), type=Plan)
    report_path(path).write_bytes(msgspec.json.encode(msgspec.structs.replace(plan, graph="")))
    with pytest.raises(ConfigurationError, match="built by an earlier release, without receipts"):
        require_plan(model, "fp16", planned, HERE)
    report_path(path).write_bytes(msgspec.json.encode(plan))
    path.write_bytes(b"plam")
    with pytest.raises(ConfigurationError, match="it is damaged"):
        require_plan(model, "fp16", planned, HERE)


def test_a_triton_of_ones_own_gets_the_plan(
    planned: ModelSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "detect_machine", lambda: HERE)
    settings = Settings(
        models=planned, stack=StackSettings(state=tmp_path / "state"), triton=TritonSettings(url="triton:8001")
    )
    served = render(settings)
    config = text_format.Parse((served / "cutnet" / "config.pbtxt").read_text(), pb.ModelConfig())
    assert (config.platform, config.backend, config.max_batch_size) == ("tensorrt_plan", "", 8)
    assert [file.name for file in (served / "cutnet" / "1").iterdir()] == ["model.plan"]
    onnxruntime = planned.model_copy(update={"engine": "onnxruntime"})
    render(settings.model_copy(update={"models": onnxruntime}))
    assert [file.name for file in (served / "cutnet" / "1").iterdir()] == ["model.onnx"]
    monkeypatch.setattr(repository, "detect_machine", lambda: msgspec.structs.replace(HERE, gpu="NVIDIA T4"))
    with pytest.raises(ConfigurationError, match="but this machine has NVIDIA T4"):
        render(settings)


def test_a_machine_without_tensorrt_or_gpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise ImportError(f"No module named {name!r}")

    with monkeypatch.context() as without:
        without.setattr(machines, "import_module", missing)
        with pytest.raises(ConfigurationError, match=r"TensorRT is not installed .*pip install tensorrt==VERSION"):
            import_tensorrt()
    module = ModuleType("tensorrt")
    module.__version__ = HERE.tensorrt
    monkeypatch.setattr(machines, "import_tensorrt", lambda: module)
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setattr(machines, "QUERY", [str(tool)])
    with pytest.raises(ConfigurationError, match="TensorRT needs an NVIDIA GPU"):
        detect_machine()
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4, 8.9, 580.95.05'\necho 'NVIDIA L4, 8.9, 580.95.05'\n")
    tool.chmod(0o755)
    assert detect_machine() == HERE
    tool.write_text("#!/bin/sh\necho 'No devices were found'\n")
    with pytest.raises(ConfigurationError, match="TensorRT needs an NVIDIA GPU"):
        detect_machine()


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no CUDA device")
def test_a_real_gpu_runs_the_plan(exported: ModelSettings) -> None:
    trt = pytest.importorskip("tensorrt", reason="TensorRT is not installed (extra `tensorrt`)")
    model = find_model("cutnet", exported)
    file = stored_path(model, "fp16", exported)
    built = build(trt, file.read_bytes(), profile_shapes(onnx.load(file), 8), b"")
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(built.plan)
    assert tuple(engine.get_tensor_profile_shape("image", 0)[2]) == (8, 320, 320, 3)
    assert engine.get_tensor_dtype("matte") == trt.DataType.UINT8
    assert np.dtype(trt.nptype(engine.get_tensor_dtype("image"))) == np.uint8
