from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from cutstream.errors import ConfigurationError, WeightsMissing
from cutstream.profiles import REPOSITORY, ensemble_name, known_profiles
from cutstream.receipts import receipt_length
from cutstream.settings import GlueSettings, ModelSettings, Settings, StackSettings
from export.profiles import ensemble_of, network_file, steps_in, steps_of
from export.repository.render import render
from tests.support.models import FUSED, fused_settings, small_models


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(models=small_models(tmp_path / "models"), stack=StackSettings(state=tmp_path / "state"))


def with_models(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"models": settings.models.model_copy(update=changes)})


def parsed(folder: Path) -> pb.ModelConfig:
    return text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())


def tensors(config: pb.ModelConfig) -> dict[str, tuple[int, list[int]]]:
    return {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in (*config.input, *config.output)}


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("profile", known_profiles())
def test_a_profile_takes_pixels_and_gives_a_matte(profile: str) -> None:
    config = parsed(REPOSITORY / ensemble_of(profile))
    (kind, (height, width, channels)), (matte_kind, matte) = tensors(config)["image"], tensors(config)["matte"]
    assert (kind, matte_kind, channels, matte) == (pb.TYPE_UINT8, pb.TYPE_UINT8, 3, [height, width])
    depth = {"depth"} if profile.startswith("depth") else set()
    receipts = {f"{step}_receipt" for step in steps_of(ensemble_of(profile))}
    assert (config.platform, set(tensors(config))) == ("ensemble", {"image", "matte", *depth, *receipts})
    assert all(tensors(config)[name] == (matte_kind, matte) for name in depth)
    assert ensemble_of(profile) == ensemble_name(profile)


@pytest.mark.parametrize("profile", known_profiles())
def test_an_ensembles_wires_fit_its_steps(profile: str) -> None:
    config = parsed(REPOSITORY / ensemble_of(profile))
    wires = tensors(config)
    assert [step.model_name for step in config.ensemble_scheduling.step] == steps_of(ensemble_of(profile))
    for step in config.ensemble_scheduling.step:
        network = parsed(REPOSITORY / step.model_name)
        assert network.max_batch_size >= config.max_batch_size
        connected = {**step.input_map, **step.output_map}
        assert connected.keys() == tensors(network).keys()
        for name, wire in connected.items():
            assert wires.setdefault(wire, tensors(network)[name]) == tensors(network)[name]


@pytest.mark.parametrize("network", steps_in(known_profiles()))
def test_the_committed_files_are_the_production_variant(network: str) -> None:
    config = parsed(REPOSITORY / network)
    assert (config.backend, config.instance_group[0].kind) == ("onnxruntime", pb.ModelInstanceGroup.KIND_AUTO)
    assert config.HasField("dynamic_batching")
    assert config.model_warmup
    assert tensors(config)["receipt"] == (pb.TYPE_INT32, [receipt_length(len(tensors(config)) - 1)])


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_renders_the_engine_and_the_instances(settings: Settings, engine: str) -> None:
    served = render(with_models(settings, engine=engine, instances=3))
    config = parsed(served / "u2netp")
    assert (config.backend, config.instance_group[0].count) == (engine, 3)
    committed = parsed(REPOSITORY / "u2netp")
    assert tensors(config) == tensors(committed)
    assert onnx.load(served / "u2netp" / "1" / "model.onnx").graph.output[0].name == "matte"
    assert sorted(folder.name for folder in served.iterdir()) == ["cutout_general", "u2netp"]
    assert (served / "cutout_general" / "1").is_dir()


def test_a_model_that_is_served_no_more_goes_and_what_somebody_else_has_put_there_stays(settings: Settings) -> None:
    served = render(settings)
    shutil.copytree(served / "u2netp", served / "of-another-profile")
    shutil.copytree(REPOSITORY / "u2netp", served / "their-model")
    (served / "notes").mkdir()
    (served / "README").touch()
    render(settings)
    assert {path.name for path in served.iterdir()} == {"cutout_general", "u2netp", "their-model", "notes", "README"}


def test_a_network_in_git_is_served_as_it_is_with_its_receipt(tmp_path: Path) -> None:
    served = render(Settings(models=ModelSettings(store=tmp_path), stack=StackSettings(state=tmp_path / "state")))
    committed, graph = onnx.load(network_file("cutnet")), onnx.load(served / "cutnet" / "1" / "model.onnx")
    count = len(committed.graph.node)
    assert list(graph.graph.node[:count]) == list(committed.graph.node)
    assert {node.output[0].split("/")[0] for node in graph.graph.node[count:]} == {"receipt"}
    assert parsed(served / "cutnet").backend == "openvino"
    digest = parsed(served / "cutout_fast").parameters["digest"].string_value
    assert digest == hashlib.sha256(network_file("cutnet").read_bytes()).hexdigest()


def test_an_ensemble_states_how_sure_its_network_is_of_any_subject(tmp_path: Path, settings: Settings) -> None:
    served = render(Settings(models=ModelSettings(store=tmp_path), stack=StackSettings(state=tmp_path / "state")))
    assert parsed(served / "cutout_fast").parameters["min_sure_share"].string_value == "0.03"
    assert "min_sure_share" not in parsed(render(settings) / "cutout_general").parameters


def test_the_ensemble_carries_its_networks_digest(settings: Settings) -> None:
    served = render(settings)
    digests = {parsed(served / name).parameters["digest"].string_value for name in ("u2netp", "cutout_general")}
    assert len(digests) == 1
    assert len(bytes.fromhex(digests.copy().pop())) == 32
    assert {parsed(served / "cutout_general").parameters["graphs"].string_value} == digests


def test_a_repository_of_a_release_without_receipts_is_rendered_anew(settings: Settings) -> None:
    served = render(settings)
    before = contents(served)
    network, rendered = served / "u2netp" / "1" / "model.onnx", served / "u2netp" / "config.pbtxt"
    network.write_bytes(b"without a receipt")
    rendered.write_text("\n".join(line for line in rendered.read_text().splitlines() if "graph" not in line))
    render(settings)
    assert {path: data for path, (data, _) in contents(served).items()} == {path: d for path, (d, _) in before.items()}


def test_glue_between_networks_is_rendered_with_the_settings(tmp_path: Path) -> None:
    settings = fused_settings(tmp_path)
    served = render(settings)
    assert sorted(folder.name for folder in served.iterdir()) == sorted(["cutout_depth_fused", *FUSED])
    before = {step: parsed(served / step).parameters["digest"].string_value for step in FUSED}
    assert parsed(served / "cutout_depth_fused").parameters["digest"].string_value == "+".join(before.values())
    wide = settings.model_copy(update={"glue": GlueSettings(depth_edge_radius=20)})
    render(wide)
    after = {step: parsed(served / step).parameters["digest"].string_value for step in FUSED}
    assert {step for step in FUSED if before[step] != after[step]} == {"depth_foreground"}
    graph = onnx.load(served / "depth_foreground" / "1" / "model.onnx").graph
    (sweep,) = [node for node in graph.node if node.name == "edge.rows"]
    assert [list(attribute.ints) for attribute in sweep.attribute if attribute.name == "kernel_shape"] == [[21, 1]]


def test_the_ensemble_names_its_networks_and_takes_what_they_take(tmp_path: Path) -> None:
    served = render(fused_settings(tmp_path, overrides=("shallow_two",)))
    ensemble = parsed(served / "cutout_depth_fused")
    assert ensemble.parameters["networks"].string_value == "shallow_two+semantic_one"
    assert (ensemble.max_batch_size, parsed(served / "depth").max_batch_size) == (1, 1)
    assert parsed(served / "semantics").max_batch_size == 4
    assert parsed(render(fused_settings(tmp_path)) / "cutout_depth_fused").max_batch_size == 4


def test_a_network_that_the_catalogue_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the catalogue has no model 'deeper'"):
        render(fused_settings(tmp_path, overrides=("deeper",)))


def test_a_second_rendering_touches_nothing(settings: Settings) -> None:
    before = contents(render(settings))
    assert contents(render(settings)) == before


def test_other_weights_are_rendered_anew(settings: Settings, tmp_path: Path) -> None:
    served = render(settings)
    before = parsed(served / "u2netp").parameters["digest"].string_value
    network = served / "u2netp" / "1" / "model.onnx"
    joined = network.read_bytes()
    network.write_bytes(b"older")
    config = served / "u2netp" / "config.pbtxt"
    config.write_text(config.read_text().replace(before, "0" * 64))
    render(settings)
    assert network.read_bytes() == joined
    assert parsed(served / "u2netp").parameters["digest"].string_value == before


def test_committed_files_are_never_edited(settings: Settings) -> None:
    before = contents(REPOSITORY)
    render(with_models(settings, instances=2))
    assert contents(REPOSITORY) == before


def test_tensorrt_is_refused_by_the_embedded_server(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="CUTSTREAM_MODELS__ENGINE=tensorrt"):
        render(with_models(settings, engine="tensorrt"))


def test_no_weights_no_repository(tmp_path: Path) -> None:
    general = ModelSettings(store=tmp_path, profiles=("general",), default_profile="general")
    settings = Settings(models=general, stack=StackSettings(state=tmp_path))
    with pytest.raises(WeightsMissing, match="cutstream models pull u2netp"):
        render(settings)
