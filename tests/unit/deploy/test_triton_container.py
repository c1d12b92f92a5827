"""How Triton is started in a container: for everybody who reaches its ports, and for mattes alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutstream.errors import StackError
from cutstream.settings import Settings, StackSettings
from deploy.triton.container import container_command


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(stack=StackSettings(state=tmp_path / "models"))
    for model, text in {"cutout_fast": 'step [ { model_name: "cutnet" } ]', "cutnet": "", "isnet": ""}.items():
        folder = settings.stack.model_repository / model
        folder.mkdir(parents=True)
        (folder / "config.pbtxt").write_text(text)
    return settings


def test_it_serves_the_profiles_of_the_settings_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    command = container_command(settings, tmp_path / "work", tmp_path)
    served = tmp_path / "work" / "served"
    assert f"--model-repository={served}" in command
    assert sorted(path.name for path in served.iterdir()) == ["cutnet", "cutout_fast"]
    assert f"--backend-directory={tmp_path / 'backends'}" in command


def test_nobody_can_load_a_model_or_use_its_http_for_mattes(settings: Settings, tmp_path: Path) -> None:
    command = container_command(settings, tmp_path / "work", tmp_path)
    options = {name.removeprefix("--"): value for name, _, value in (word.partition("=") for word in command[1:])}
    assert options["model-control-mode"] == "none"
    for option in ("grpc-restricted-protocol", "http-restricted-api"):
        protocols, _, secret = options[option].partition(":")
        assert {"model-repository", "shared-memory", "trace", "logging"} <= set(protocols.split(","))
        assert "inference" in protocols.split(",") or option.startswith("grpc")
        assert "health" not in protocols.split(",")
        assert secret.startswith("Nobody=")  # no request can carry this header
    ports = {name: value for name, value in options.items() if name.endswith("-port")}
    assert ports == {"grpc-port": "8001", "http-port": "8000", "metrics-port": "8002"}


def test_a_profile_that_was_not_rendered_is_named(settings: Settings, tmp_path: Path) -> None:
    models = settings.models.model_copy(update={"profiles": ("precise",)})
    with pytest.raises(StackError, match="cutout_precise is not in"):
        container_command(settings.model_copy(update={"models": models}), tmp_path / "work", tmp_path)
