"""What `worker --check`, `up` and `demo` refuse because the local stack could not serve it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from commands.preflight import check_deployment
from cutstream.errors import ConfigurationError, WeightsMissing
from cutstream.settings import (
    KafkaSettings,
    ModelSettings,
    ObjectSettings,
    Settings,
    StackSettings,
    TritonSettings,
)
from deploy.local.jars import Jar
from export.weights.catalogue import find_model
from tests.support.models import small_models

KAFKA, TRITON = KafkaSettings(bootstrap_servers="kafka:9092"), TritonSettings(url="triton:8001")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"\xff")
    (tmp_path / "no-program").touch()
    return tmp_path


def problem(**sections: object) -> str:
    with pytest.raises(ConfigurationError) as refused:
        check_deployment(Settings(**sections))  # type: ignore[arg-type]
    (found,) = str(refused.value).splitlines()
    return found


def test_the_defaults_work_and_a_check_leaves_nothing_behind(folder: Path) -> None:
    check_deployment(Settings())
    assert {path.name for path in folder.iterdir()} == {"file", "no-program"}


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (
            {"network_overrides": ("cutnte",)},
            "NETWORK_OVERRIDES: the catalogue has no network cutnte; did you",
        ),
        ({"network_overrides": ("u2net", "u2netp")}, "u2net and u2netp both fill step u2netp"),
        ({"catalogue": "none"}, "CUTSTREAM_MODELS__CATALOGUE: none is not a catalogue"),
        ({"catalogue": "file"}, "CUTSTREAM_MODELS__CATALOGUE: file is not a catalogue"),
        ({"engine": "tensorrt"}, "CUTSTREAM_MODELS__ENGINE=tensorrt needs NVIDIA's Triton image"),
        ({"engine": "onnxruntime", "graph_precision": "bf16"}, "CUTSTREAM_MODELS__GRAPH_PRECISION=bf16"),
        ({"mirror": "none"}, "CUTSTREAM_MODELS__MIRROR: none does not exist"),
        (
            {"store": "file/below", "profiles": ("fast", "general")},
            "CUTSTREAM_MODELS__STORE: file/below cannot be made",
        ),
    ],
)
def test_models_that_the_embedded_triton_cannot_serve_are_refused(models: dict[str, object], words: str) -> None:
    assert words in problem(models=ModelSettings(**models))  # type: ignore[arg-type]
    check_deployment(Settings(models=ModelSettings(**models), triton=TRITON))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("models", "command"),
    [
        ({"profiles": ("fast", "general", "hair")}, "cutstream models pull u2netp"),
        ({"graph_precision": "fp16"}, "cutstream export cutnet --precision fp16"),
    ],
)
def test_weights_that_are_missing_are_named_with_the_command_that_gets_them(
    models: dict[str, object], command: str
) -> None:
    with pytest.raises(WeightsMissing, match=command):
        check_deployment(Settings(models=ModelSettings(**models)))  # type: ignore[arg-type]
    check_deployment(Settings(models=ModelSettings(**models), triton=TRITON))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"stack": StackSettings(java=Path("none"))}, "CUTSTREAM_STACK__JAVA: none does not exist"),
        (
            {"stack": StackSettings(java=Path("no-program"))},
            "STACK__JAVA: no-program cannot be run by this user",
        ),
        ({"stack": StackSettings(state=Path("file"))}, "CUTSTREAM_STACK__STATE: file is not a folder"),
        ({"stack": StackSettings(state=Path("a,b"))}, "a,b has a `,`, which separates folders"),
        ({"stack": StackSettings(jars=Path("a:b"))}, "a:b has a `:`, which separates folders"),
        ({"stack": StackSettings(state=Path("caf\udce9"))}, "STACK__STATE: the folder's path is not UTF-8"),
        ({"kafka": KafkaSettings(replication=3)}, "CUTSTREAM_KAFKA__REPLICATION: 3: the embedded Kafka is one broker"),
        (
            {"kafka": KafkaSettings(security_protocol="SSL")},
            "CUTSTREAM_KAFKA__SECURITY_PROTOCOL: SSL: for the embedded Kafka there is CUTSTREAM_STACK__PRIVATE",
        ),
    ],
)
def test_what_the_embedded_servers_cannot_run_with_is_refused(sections: dict[str, object], words: str) -> None:
    assert words in problem(**sections)


@pytest.mark.parametrize(
    ("sections", "server"),
    [({"kafka": KAFKA}, "a,b"), ({"triton": TRITON}, "a:b"), ({"kafka": KAFKA}, "jars")],
)
def test_what_separates_folders_of_one_server_is_no_matter_to_the_other(
    sections: dict[str, object], server: str
) -> None:
    jars = Path("file" if server == "jars" else "jars")
    check_deployment(Settings(stack=StackSettings(state=Path(server), jars=jars), **sections))  # type: ignore[arg-type]


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no folder but the state's be written to, as for a user who is not root."""
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK or Path(path).name == "state")


def test_a_complete_installation_may_be_read_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, read_only: None
) -> None:
    jar = Jar("org.example", "broker", "1", hashlib.sha256(b"jar").hexdigest())
    for name in ("state", "jars", "store"):
        (folder / name).mkdir()
    monkeypatch.setattr("deploy.local.jars.read_lock", lambda: [jar])
    model = find_model("u2netp", ModelSettings())
    (folder / "store" / f"{model.weights[0].sha256}.onnx").touch()
    stack = StackSettings(state=folder / "state", jars=folder / "jars")
    models = ModelSettings(store=folder / "store", profiles=("fast", "general"))
    objects = ObjectSettings(destination="s3://bucket", machine_credentials=True)
    settings = Settings(stack=stack, models=models, objects=objects)
    with pytest.raises(ConfigurationError) as refused:
        check_deployment(settings)
    (jars,) = str(refused.value).splitlines()
    assert jars.startswith("CUTSTREAM_STACK__JARS: ")
    (folder / "jars" / "broker-1.jar").write_bytes(b"jar")
    check_deployment(settings)


def test_a_check_copies_no_weights_into_the_store(folder: Path) -> None:
    models = small_models(folder).model_copy(update={"graph_precision": "fp16"})
    with pytest.raises(WeightsMissing, match="cutstream export u2netp --precision fp16"):
        check_deployment(Settings(models=models))
    assert not models.store.exists()


def test_settings_of_embedded_servers_that_are_not_used_do_not_count() -> None:
    stack = StackSettings(java=Path("none"), state=Path("file"), jars=Path("file"))
    check_deployment(Settings(stack=stack, kafka=KAFKA, triton=TRITON))
