"""No process of cutstream runs what another account has put into the current folder."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2  # noqa: F401  it appends the current folder to LD_LIBRARY_PATH
import pytest

import consumer
import producer.gateway
from consumer.resources.decoding.decoder import COMMAND
from consumer.resources.decoding.pool import DecoderPool
from cutstream.launch import python_command
from cutstream.matting.exact_matting import COMPILE
from cutstream.settings import bare_environment, own_environment

ROOT = Path(__file__).parents[3]
PRODUCT = ("cutstream", "consumer", "producer", "evaluation", "export", "deploy", "commands")
PLANTED = ("consumer", "producer", "cutstream", "numpy", "json", "runpy", "sitecustomize", "usercustomize")
LISTS = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "CLASSPATH")


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with modules of a stranger, which leave a file behind when they are imported."""
    trace = tmp_path / "trace"
    folder = tmp_path / "planted"
    for name in PLANTED:
        (folder / name).mkdir(parents=True)
        for file in ("__init__.py", "__main__.py"):
            (folder / name / file).write_text(f"open({str(trace)!r}, 'w').write({name!r})\n")
    monkeypatch.chdir(folder)
    return trace


def run(command: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=own_environment() | more, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("command", [consumer.COMMAND, producer.gateway.COMMAND], ids=["worker", "gateway"])
@pytest.mark.parametrize("path", [{}, {"PYTHONPATH": "."}], ids=["folder", "PYTHONPATH"])
def test_a_service_imports_nothing_from_the_current_folder(
    planted: Path, command: Sequence[str], path: dict[str, str]
) -> None:
    done = run([*command, "superfluous"], **path)
    assert not planted.exists()
    assert (done.returncode, "takes no arguments" in done.stderr) == (2, True)


def test_a_decoder_imports_nothing_from_the_current_folder(planted: Path) -> None:
    pool = DecoderPool(1, 20, max_bytes=1000, max_pixels=1000, on_restart=lambda: None)
    pool.start()
    pool.close()
    assert not planted.exists()


@pytest.mark.parametrize("command", [COMMAND, COMPILE], ids=["decoder", "PyMatting"])
def test_processes_of_the_worker_are_isolated(command: Sequence[str]) -> None:
    assert command[:2] == (sys.executable, "-I")


def test_a_checkout_that_is_not_installed_is_found() -> None:
    done = run([sys.executable, "-I", "-S", *python_command("cutstream.causes")[2:]])
    assert (done.returncode, done.stderr) == (0, "")


def test_lists_of_folders_are_passed_on_without_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LISTS:
        monkeypatch.setenv(name, "/one::relative:.:/two:")
    monkeypatch.setenv("LD_PRELOAD", "libjemalloc.so.2:./libevil.so /lib/libgood.so")
    passed = own_environment()
    assert {passed[name] for name in LISTS} == {"/one:/two"}
    assert passed["LD_PRELOAD"] == "libjemalloc.so.2 /lib/libgood.so"
    assert bare_environment()["LD_LIBRARY_PATH"] == "/one:/two"
    monkeypatch.setenv("LD_LIBRARY_PATH", ":.")
    assert "LD_LIBRARY_PATH" not in own_environment()


def test_the_library_path_of_opencv_is_passed_on_without_the_current_folder() -> None:
    for environment in (own_environment(), bare_environment()):
        assert all(map(os.path.isabs, environment.get("LD_LIBRARY_PATH", "/").split(":")))


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_no_library_is_loaded_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, source = tmp_path / "trace", tmp_path / "evil.c"
    source.write_text(
        f'#include <stdio.h>\n__attribute__((constructor)) static void run(void) {{ fopen("{trace}", "w"); }}\n'
    )
    monkeypatch.chdir(tmp_path)
    libraries = ("libz.so.1", "libm.so.6", "libc.so.6", "libpthread.so.0")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", libraries[0], source], check=True)
    for library in libraries[1:]:
        shutil.copy(libraries[0], library)
    monkeypatch.setenv("LD_LIBRARY_PATH", os.environ.get("LD_LIBRARY_PATH", "") + ":")
    run([sys.executable, "-I", "-c", "import zlib"])
    assert not trace.exists()


def _calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    for folder in PRODUCT:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                    yield file, node


def test_every_process_of_the_product_gets_an_environment_by_name() -> None:
    by_itself = {"lifeline.py"}  # inside Triton, whose environment is ours
    starts = [
        (file.relative_to(ROOT), node)
        for name in ("run", "Popen")
        for file, node in _calls(name)
        if isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "subprocess"
        and file.name not in by_itself
        and "images" not in file.parts  # what builds images takes the builder's own environment
    ]
    assert len(starts) >= 7
    assert [str(file) for file, node in starts if "env" not in {word.arg for word in node.keywords}] == []


def test_every_interpreter_of_the_product_is_isolated() -> None:
    names = {"console.py"}  # it prints how this program was started
    for folder in PRODUCT:
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            if file.name not in names:
                assert text.count("sys.executable") == text.count('sys.executable, "-I"'), file
