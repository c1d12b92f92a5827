"""The embedded Triton: the `tritonserver` binary of the nvidia-pytriton package, with our own backends.

Whoever has an account on this machine may ask it for mattes, and for nothing else: nobody can load or unload models,
have it write files, or have it read the memory of other processes. It has no HTTP, which web pages speak, but for its
metrics.

Only the binary and its Python backend are used; the package's Python modules are never imported.
"""

from __future__ import annotations

import filecmp
import os
import re
import secrets
import shutil
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from cutstream.errors import StackError
from cutstream.profiles import ensemble_name
from cutstream.settings import Settings, StackSettings, embedded_triton
from deploy.local.identity import ensure_identity
from deploy.local.process import ServerSpec
from deploy.local.state import private_folder
from deploy.triton.backends.lifeline import REGION, SHARED_MEMORY, remove_abandoned_memory

CHECKOUT = Path(__file__).parents[2]
OUR_BACKENDS = CHECKOUT / "deploy" / "triton" / "backends"
PACKAGES = Path(sysconfig.get_path("platlib"))
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HOST = "127.0.0.1"
EXIT_TIMEOUT_S = 10
TEMPORARY = Path("/tmp")  # the Python backend makes a folder here, whatever TMPDIR says
_TEMPORARY_NAMES = "python_env_*"
# The name of a header that no request can carry: gRPC refuses capital letters.
NOBODY = "Nobody"
RESTRICTED = "model-repository,shared-memory,trace,logging"
# Triton takes every connection, at 70 KB each even before its handshake, so this bounds its memory.
DESCRIPTORS = 2048
# Without a free descriptor, its metrics port logs 50 MB a second. Its other files are tensors in shared memory.
FILE_BYTES = 1 << 30
TENSOR_MEMORY_BYTES = 16 << 20  # per network: a few batches of eight, inputs and outputs


def triton_server(settings: Settings) -> ServerSpec:
    """Describe the server for a model repository that was rendered before. Raise StackError if it is incomplete."""
    stack = settings.stack
    folder = private_folder(stack.state / "triton")
    identity = ensure_identity(stack)
    served = served_models(stack.model_repository, map(ensemble_name, settings.models.profiles), folder / "served")
    remains = _Remains(folder)
    return ServerSpec(
        name="triton",
        command=[*_command(stack, served, assemble_backends(folder)), *_guards(identity)],
        environment=backend_environment(stack.state, settings.models.precision),
        log=stack.state / "logs" / "triton.log",
        cwd=folder,
        ready=partial(_is_listening, stack.triton_grpc_port),
        answers=_health_check(settings),
        ports={
            "CUTSTREAM_STACK__TRITON_GRPC_PORT": stack.triton_grpc_port,
            "CUTSTREAM_STACK__TRITON_METRICS_PORT": stack.triton_metrics_port,
        },
        stop_timeout_s=EXIT_TIMEOUT_S + 5,
        writes=(folder, SHARED_MEMORY, TEMPORARY, Path(os.devnull), *Path("/dev").glob("nvidia*")),
        descriptors=DESCRIPTORS,
        file_bytes=FILE_BYTES,
        prepare=remains.begin,
        remains=remains,
    )


class _Remains:
    """What Triton removes when it ends in order: the memory that it shares with its networks, and an empty folder."""

    def __init__(self, folder: Path) -> None:
        self._stub = os.fsencode(_stub_in(folder).absolute())
        self._folders: set[Path] = set()

    def begin(self) -> None:
        remove_abandoned_memory()
        self._folders = set(TEMPORARY.glob(_TEMPORARY_NAMES))

    def __call__(self) -> Iterator[Path]:
        for words in _command_lines():
            if words[0] == self._stub:
                yield from (SHARED_MEMORY / os.fsdecode(word).lstrip("/") for word in words if REGION in word)
        for folder in set(TEMPORARY.glob(_TEMPORARY_NAMES)) - self._folders:
            with suppress(FileNotFoundError):
                if folder.lstat().st_uid == os.geteuid():
                    yield folder


def _command_lines() -> Iterator[list[bytes]]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            yield process.read_bytes().split(b"\0")


def served_models(repository: Path, ensembles: Iterable[str], folder: Path) -> Path:
    """Make a folder of links to the ensembles and their steps, because the server loads all that it finds there.

    Raises StackError if the repository lacks one of the ensembles.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for ensemble in ensembles:
        try:
            steps = re.findall(r'model_name: "(\w+)"', (repository / ensemble / "config.pbtxt").read_text())
        except OSError as exc:
            raise StackError(f"{ensemble} is not in {repository}: render the repository first") from exc
        for model in {ensemble, *steps}:
            if not (folder / model).is_symlink():  # profiles may share a step
                (folder / model).symlink_to((repository / model).absolute())
    return folder


def _command(stack: StackSettings, served: Path, backends: Path) -> list[str]:
    return [
        *server_command(served, backends, stack.start_timeout_s),
        "--allow-http=false",
        f"--grpc-address={HOST}",
        f"--grpc-port={stack.triton_grpc_port}",
        f"--metrics-address={HOST}",
        f"--metrics-port={stack.triton_metrics_port}",
    ]


def server_command(served: Path, backends: Path, start_timeout_s: float) -> list[str]:
    """Return the server's program with the options that hold wherever it runs. Those of its addresses may follow."""
    return [
        str(_pytriton() / "bin" / "tritonserver"),
        f"--model-repository={served.absolute()}",
        f"--backend-directory={backends.absolute()}",
        "--model-control-mode=none",  # so nobody can load a model, which may be a program
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        # These load programs, map the memory of other processes and write files. Who may use them would give a header
        # on the command line, which every user of the machine can read; so nobody may.
        f"--grpc-restricted-protocol={RESTRICTED}:{NOBODY}={secrets.token_hex()}",
        "--allow-gpu-metrics=false",
        f"--backend-config=python,shm-default-byte-size={TENSOR_MEMORY_BYTES}",
        f"--backend-config=python,stub-timeout-seconds={round(start_timeout_s)}",
    ]


def _guards(identity: Path | None) -> list[str]:
    """Return the options of a server that shows an identity, and answers only who shows the same."""
    if identity is None:
        return []
    files = [f"--grpc-{name}={identity.absolute()}" for name in ("server-cert", "server-key", "root-cert")]
    return ["--grpc-use-ssl-mutual=true", *files]


def backend_environment(stack_state: Path, precision: str) -> dict[str, str]:
    """Return the environment of Triton and of its backends' interpreters, which are isolated and ignore PYTHONPATH."""
    libraries = (PACKAGES / "nvidia_pytriton.libs", shared_libpython().parent)
    # An embedded interpreter loads the standard library of the first `python3` on its PATH, which must be this one.
    programs = (str(Path(sys.base_exec_prefix) / "bin"), os.defpath)
    return {
        "PATH": os.pathsep.join(programs),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "TRITON_BACKEND_PATH": os.pathsep.join(map(str, (PACKAGES, CHECKOUT))),
        "TRITON_BACKEND_STATE": str((stack_state / "triton").absolute()),
        "TRITON_BACKEND_PRECISION": precision,
    }


def shared_libpython() -> Path:
    """Return the shared library of the running interpreter. Triton's Python backend links to it."""
    candidates = list(_libpython_candidates())
    for path in candidates:
        if os.path.isfile(path):  # not one in a folder of another user's
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


def assemble_backends(state: Path) -> Path:
    """Assemble the folder `backends` in `state`, and return it.

    It has the package's Python backend with the stub for this Python, and our backends. Files are copied, because
    Triton refuses libraries that link out of their backend's folder. Equal files stay untouched, because another server
    may be using them. All that is not ours is removed.
    """
    stub = _pytriton() / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    if not stub.is_file():
        raise StackError(f"nvidia-pytriton has no stub for Python {PYTHON}: use Python 3.10 to 3.13")
    folder = state / "backends"
    parts = [*(_pytriton() / "backends" / "python").iterdir(), stub]
    files = {_stub_in(state).with_name(part.name): part for part in parts}
    files |= {folder / model.parent.name / model.name: model for model in OUR_BACKENDS.glob("*/model.py")}
    for target, source in files.items():
        _copy(source, target)
    for path in list(folder.glob("*/*")):  # a module or a library there would be loaded before others
        if path not in files:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return folder


def _stub_in(state: Path) -> Path:
    """Return the program that runs a network."""
    return state / "backends" / "python" / "triton_python_backend_stub"


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and not target.is_symlink() and filecmp.cmp(source, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    shutil.copy2(source, part)  # keeps the mode, because the stub is a program
    part.replace(target)


def _is_listening(port: int) -> bool:
    """Tell whether the server has opened its port, which it does once every model is loaded."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def _health_check(settings: Settings) -> Callable[[], bool]:
    """Strict readiness: the server is ready once every model is."""

    def ready() -> bool:
        from cutstream.clients.triton import Triton  # gRPC takes long to import, and the start does without

        with closing(Triton(embedded_triton(settings.triton, settings.stack))) as client:
            return client.ready()

    return ready
