"""The embedded Triton: the `tritonserver` binary of the nvidia-pytriton package, with our own backends.

Only the binary and its Python backend are used; the package's Python modules are never imported.
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
from deploy.local.process import ServerSpec

CHECKOUT = Path(__file__).parents[2]
OUR_BACKENDS = CHECKOUT / "deploy" / "triton" / "backends"
PACKAGES = Path(sysconfig.get_path("platlib"))
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HOST = "127.0.0.1"
EXIT_TIMEOUT_S = 10
HEALTH_TIMEOUT_S = 1.0
TENSOR_MEMORY_BYTES = 16 << 20  # per network: a few batches of eight, inputs and outputs


def triton_server(settings: Settings) -> ServerSpec:
    """Describe the server for a model repository that was rendered before. Raise StackError if it is incomplete."""
    stack = settings.stack
    ensembles = [f"cutout_{profile}" for profile in settings.models.profiles]
    for ensemble in ensembles:
        if not (stack.model_repository / ensemble).is_dir():
            raise StackError(f"{ensemble} is not in {stack.model_repository}: render the repository first")
    return ServerSpec(
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
        *(f"--load-model={ensemble}" for ensemble in ensembles),  # loads their steps, too
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        f"--http-address={HOST}",
        f"--http-port={stack.triton_http_port}",
        "--http-thread-count=2",  # only health and metrics; images arrive by gRPC
        f"--grpc-address={HOST}",
        f"--grpc-port={stack.triton_grpc_port}",
        f"--metrics-address={HOST}",
        f"--metrics-port={stack.triton_metrics_port}",
        "--allow-gpu-metrics=false",
        f"--backend-config=python,shm-default-byte-size={TENSOR_MEMORY_BYTES}",
        f"--backend-config=python,stub-timeout-seconds={round(stack.start_timeout_s)}",
    ]


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of Triton and of its backends' interpreters, which are isolated and ignore PYTHONPATH."""
    libraries = (PACKAGES / "nvidia_pytriton.libs", shared_libpython().parent)
    # An embedded interpreter loads the standard library of the first `python3` on its PATH, which must be this one.
    programs = (str(Path(sys.base_exec_prefix) / "bin"), os.defpath)
    return {
        "PATH": os.pathsep.join(programs),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "TRITON_BACKEND_PATH": os.pathsep.join(map(str, (PACKAGES, CHECKOUT))),
        "TRITON_BACKEND_STATE": str((settings.stack.state / "triton").absolute()),
        "TRITON_BACKEND_PRECISION": settings.models.precision,
    }


def shared_libpython() -> Path:
    """Return the shared library of the running interpreter. Triton's Python backend links to it."""
    candidates = list(_libpython_candidates())
    for path in candidates:
        if path.is_file():
            return path
    raise StackError(
        f"the embedded Triton needs Python {PYTHON}'s shared library {candidates[0].name}, which is not in "
        f"{', '.join(str(path.parent) for path in candidates)}. Install it (Debian, Ubuntu: "
        f"`apt install libpython{PYTHON}`; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {PYTHON}), "
        "or name a Triton of your own in CUTSTREAM_TRITON__URL."
    )


def _libpython_candidates() -> Iterator[Path]:
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
    """Assemble the backend folder: the package's Python backend with the stub for this Python, and our backends.

    Files are copied, because Triton refuses libraries that link out of their backend's folder. Equal files stay
    untouched, because another server may be using them.
    """
    stub = _pytriton() / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    if not stub.is_file():
        raise StackError(f"nvidia-pytriton has no stub for Python {PYTHON}: use Python 3.10 to 3.13")
    folder = state / "backends"
    for part in (*(_pytriton() / "backends" / "python").iterdir(), stub):
        _copy(part, folder / "python" / part.name)
    for model in OUR_BACKENDS.glob("*/model.py"):
        _copy(model, folder / model.parent.name / model.name)
    return folder


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and filecmp.cmp(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    shutil.copy2(source, part)  # keeps the mode, because the stub is a program
    part.replace(target)


def _health_check(http_port: int, ensembles: Sequence[str]) -> Callable[[], bool]:
    paths = ["/v2/health/ready", *(f"/v2/models/{ensemble}/ready" for ensemble in ensembles)]

    def ready() -> bool:
        return all(_responds(http_port, path) for path in paths)

    return ready


def _responds(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):  # it may die while it answers
        return False
    finally:
        connection.close()
