from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cutstream.errors import StackError
from cutstream.profiles import REPOSITORY
from cutstream.settings import Settings, StackSettings
from deploy.local.triton import PYTHON, shared_libpython, triton_server

# Only looked for, because the product never imports it either.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pytriton") is None, reason="nvidia-pytriton is not installed (requirements/triton.txt)"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(stack=StackSettings(state=tmp_path))
    repository = settings.stack.model_repository
    for model in ("cutout_fast", "cutnet", "cutout_general", "u2netp"):
        shutil.copytree(REPOSITORY / model, repository / model)
    return settings


def test_listens_on_loopback_alone(settings: Settings) -> None:
    server = triton_server(settings)
    addresses = {option for option in server.command if "-address=" in option}
    assert addresses == {"--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1"}
    assert "--allow-http=false" in server.command
    assert {f"CUTSTREAM_STACK__TRITON_{name}_PORT" for name in ("GRPC", "METRICS")} == set(server.ports)


def test_its_folder_is_private_even_if_it_was_not(settings: Settings) -> None:
    folder = settings.stack.state / "triton"
    assert folder.stat().st_mode & 0o077
    triton_server(settings)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_serves_the_profiles_of_the_settings_and_no_others(settings: Settings) -> None:
    """Whatever else has been put into the rendered repository."""

    def served(*profiles: str) -> list[str]:
        models = settings.models.model_copy(update={"profiles": profiles})
        command = triton_server(settings.model_copy(update={"models": models})).command
        assert "--model-control-mode=none" in command
        (folder,) = (option.split("=")[1] for option in command if option.startswith("--model-repository"))
        return sorted(path.parent.name for path in Path(folder).glob("*/config.pbtxt"))

    assert served("fast", "general") == ["cutnet", "cutout_fast", "cutout_general", "u2netp"]
    assert served("fast") == ["cutnet", "cutout_fast"]


def test_brings_together_a_backend_folder(settings: Settings) -> None:
    triton_server(settings)
    folder = settings.stack.state / "triton" / "backends"
    assert sorted(path.name for path in folder.iterdir()) == ["onnxruntime", "openvino", "python"]
    stub = folder / "python" / "triton_python_backend_stub"
    assert stub.stat().st_mode & stat.S_IXUSR
    # A running server may use these files, so equal files are not written again.
    before = stub.stat().st_ino
    triton_server(settings)
    assert stub.stat().st_ino == before


def test_a_backend_of_the_same_size_and_time_is_replaced_and_what_is_not_ours_is_removed(settings: Settings) -> None:
    triton_server(settings)
    python = settings.stack.state / "triton" / "backends" / "python"
    stub = python / "triton_python_backend_stub"
    genuine, status = stub.read_bytes(), stub.stat()
    stub.write_bytes(b"#!/bin/sh\n".ljust(len(genuine)))
    os.utime(stub, ns=(status.st_atime_ns, status.st_mtime_ns))
    (python / "numpy.py").touch()
    (python / "__pycache__").mkdir()
    (python.parent / "openvino" / "model.py").unlink()
    (python.parent / "openvino" / "model.py").symlink_to(stub)
    triton_server(settings)
    assert stub.read_bytes() == genuine
    assert not (python / "numpy.py").exists()
    assert not (python / "__pycache__").exists()
    assert not (python.parent / "openvino" / "model.py").is_symlink()
    assert stub.read_bytes() == genuine


def test_hands_the_libraries_of_this_interpreter_over(settings: Settings) -> None:
    environment = triton_server(settings).environment
    libraries = [Path(folder) for folder in environment["LD_LIBRARY_PATH"].split(os.pathsep)]
    assert (libraries[1] / f"libpython{PYTHON}.so.1.0").is_file()
    assert libraries[0].is_dir()
    assert environment["TRITON_BACKEND_PRECISION"] == "auto"


def test_its_interpreters_find_this_ones_standard_library(settings: Settings) -> None:
    """If another `python3` were first on the PATH, they would load its modules and exit."""
    found = shutil.which("python3", path=triton_server(settings).environment["PATH"])
    assert found
    prefix = subprocess.run([found, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True)
    assert prefix.stdout.strip() == sys.base_prefix


def test_without_the_shared_library_of_python_the_error_says_what_to_install(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr("sys.base_prefix", str(tmp_path))
    with pytest.raises(StackError, match=rf"apt install libpython{PYTHON}.*--enable-shared.*CUTSTREAM_TRITON__URL"):
        shared_libpython()


def test_without_the_package_the_error_says_what_to_do(settings: Settings, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("deploy.local.triton.PACKAGES", tmp_path)
    with pytest.raises(StackError, match=r"make setup.*CUTSTREAM_TRITON__URL"):
        triton_server(settings)


def test_without_a_server_it_is_not_ready(settings: Settings) -> None:
    assert not triton_server(settings).ready()


def test_a_repository_that_was_not_rendered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="render the repository first"):
        triton_server(Settings(stack=StackSettings(state=tmp_path)))
