"""The embedded Triton: the `tritonserver` binary of the nvidia-pytriton package, with backends of our own.

Only the binary and its Python backend are taken from the package; its Python part is never imported.
"""

from __future__ import annotations

import filecmp
import http.client
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cutstream.errors import StackError
from cutstream.settings import Settings, StackSettings
from deploy.local.process import Server

CHECKOUT = Path(__file__).parents[2]
OUR_BACKENDS = CHECKOUT / "deploy" / "triton" / "backends"
PACKAGES = Path(sysconfig.get_path("platlib"))
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HOST = "127.0.0.1"
EXIT_TIMEOUT_S = 10
HEALTH_TIMEOUT_S = 1.0
TENSOR_MEMORY_BYTES = 16 << 20  # of each network: a few batches of eight in and out


def triton_server(settings: Settings) -> Server:
    """For the repository that `export.repository.render.render` has written before."""
    stack = settings.stack
    ensembles = [f"cutout_{profile}" for profile in settings.models.profiles]
    for ensemble in ensembles:
        if not (stack.model_repository / ensemble).is_dir():
            raise StackError(f"{ensemble} is not in {stack.model_repository}: render the repository first")
    return Server(
        name="triton",
        command=_command(stack, ensembles, _backends(stack.state / "triton")),
        environment=_environment(settings),
        log=stack.state / "logs" / "triton.log",
        ready=_health_check(stack.triton_http_port, ensembles),
        ports={
            "CUTSTREAM_STACK__TRITON_GRPC_PORT": stack.triton_grpc_port,
            "CUTSTREAM_STACK__TRITON_HTTP_PORT": stack.triton_http_port,
            "CUTSTREAM_STACK__TRITON_METRICS_PORT": stack.triton_metrics_port,
        },
        stop_timeout_s=EXIT_TIMEOUT_S + 5,
    )


def _command(stack: StackSettings, ensembles: Sequence[str], backends: Path) -> list[str]:
    return [
        str(_pytriton() / "bin" / "tritonserver"),
        f"--model-repository={stack.model_repository.absolute()}",
        f"--backend-directory={backends.absolute()}",
        "--model-control-mode=explicit",
        *(f"--load-model={ensemble}" for ensemble in ensembles),  # their steps are loaded with them
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        f"--http-address={HOST}",
        f"--http-port={stack.triton_http_port}",
        "--http-thread-count=2",  # health and metrics only; pictures come by gRPC
        f"--grpc-address={HOST}",
        f"--grpc-port={stack.triton_grpc_port}",
        f"--metrics-address={HOST}",
        f"--metrics-port={stack.triton_metrics_port}",
        "--allow-gpu-metrics=false",
        f"--backend-config=python,shm-default-byte-size={TENSOR_MEMORY_BYTES}",
        f"--backend-config=python,stub-timeout-seconds={round(stack.start_timeout_s)}",
    ]


def _environment(settings: Settings) -> dict[str, str]:
    """What Triton and the isolated interpreters of its backends are told; they read no PYTHONPATH."""
    libraries = (PACKAGES / "nvidia_pytriton.libs", shared_libpython().parent)
    # An embedded interpreter takes its standard library from where it finds a `python3`: it has to be this one's.
    programs = (str(Path(sys.base_exec_prefix) / "bin"), os.defpath)
    return {
        "PATH": os.pathsep.join(programs),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "TRITON_BACKEND_PATH": os.pathsep.join(map(str, (PACKAGES, CHECKOUT))),
        "TRITON_BACKEND_STATE": str((settings.stack.state / "triton").absolute()),
        "TRITON_BACKEND_PRECISION": settings.models.precision,
    }


def shared_libpython() -> Path:
    """The running interpreter's shared library, which Triton's Python backend links to."""
    places = list(_libpython_places())
    for place in places:
        if place.is_file():
            return place
    raise StackError(
        f"the embedded Triton needs Python {PYTHON}'s shared library {places[0].name}, which is not in "
        f"{', '.join(str(place.parent) for place in places)}. Install it (Debian, Ubuntu: "
        f"`apt install libpython{PYTHON}`; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {PYTHON}), "
        "or name a Triton of your own in CUTSTREAM_TRITON__URL."
    )


def _libpython_places() -> Iterator[Path]:
    name = f"libpython{PYTHON}.so.1.0"
    libdir = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    yield libdir / name
    if multiarch := sysconfig.get_config_var("MULTIARCH"):
        yield libdir / multiarch / name
    yield Path(sys.base_prefix) / "lib" / name


def _pytriton() -> Path:
    folder = PACKAGES / "pytriton" / "tritonserver"
    if not (folder / "bin" / "tritonserver").is_file():
        raise StackError(
            "the embedded Triton is not installed: run `make setup`, or name a Triton of your own in "
            "CUTSTREAM_TRITON__URL"
        )
    return folder


def _backends(state: Path) -> Path:
    """A folder with the package's Python backend, the stub of this Python in it, and our backends beside it.

    Copies, because Triton refuses a library that is a link out of its backend's folder. What is there already is left
    alone: another server may be running on it.
    """
    stub = _pytriton() / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    if not stub.is_file():
        raise StackError(f"nvidia-pytriton has no stub for Python {PYTHON}: use one of 3.10 to 3.13")
    folder = state / "backends"
    for part in (*(_pytriton() / "backends" / "python").iterdir(), stub):
        _copy(part, folder / "python" / part.name)
    for model in OUR_BACKENDS.glob("*/model.py"):
        _copy(model, folder / model.parent.name / model.name)
    return folder


def _copy(source: Path, place: Path) -> None:
    if place.is_file() and filecmp.cmp(source, place):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(place.name + ".part")
    shutil.copy2(source, part)  # with its mode: the stub is a program
    part.replace(place)


def _health_check(http_port: int, ensembles: Sequence[str]) -> Callable[[], bool]:
    paths = ["/v2/health/ready", *(f"/v2/models/{ensemble}/ready" for ensemble in ensembles)]

    def ready() -> bool:
        return all(_answers(http_port, path) for path in paths)

    return ready


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
