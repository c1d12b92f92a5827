"""Run Triton as the process of a container: `python -m deploy.triton.container`. It serves whoever reaches its ports.

The repository must have been rendered into CUTSTREAM_STACK__STATE, which may be read-only: `cutstream models render`.
gRPC is on port 8001, metrics are on 8002. HTTP, on 8000, answers about the server's health and its models only.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path

from cutstream.errors import CutstreamError
from cutstream.profiles import ensemble_name
from cutstream.settings import Settings, load
from deploy.local.triton import (
    NOBODY,
    RESTRICTED,
    assemble_backends,
    backend_environment,
    served_models,
    server_command,
)

BACKENDS = Path("/opt/triton")  # assembled when the image is built
_HTTP_RESTRICTED = f"{RESTRICTED},inference,model-config,statistics"


def container_command(settings: Settings, work: Path, backends: Path = BACKENDS) -> list[str]:
    """Return the server's command line. `work` is a folder to write links to the models in.

    Raises StackError if the rendered repository lacks a profile of the settings.
    """
    stack = settings.stack
    work.mkdir(parents=True, exist_ok=True)
    served = served_models(stack.model_repository, map(ensemble_name, settings.models.profiles), work / "served")
    return [
        *server_command(served, backends / "backends", stack.start_timeout_s),
        "--grpc-address=0.0.0.0",
        "--grpc-port=8001",
        "--http-address=0.0.0.0",
        "--http-port=8000",
        f"--http-restricted-api={_HTTP_RESTRICTED}:{NOBODY}={secrets.token_hex()}",
        "--metrics-address=0.0.0.0",
        "--metrics-port=8002",
    ]


def main(arguments: list[str]) -> None:
    """Become the server, or assemble its back ends when the image is built."""
    if arguments == ["assemble"]:
        assemble_backends(BACKENDS)
        return
    settings = load()
    work = Path(tempfile.gettempdir(), "cutstream")
    try:
        command = container_command(settings, work / "triton")
    except CutstreamError as exc:
        sys.exit(str(exc))
    os.execve(command[0], command, backend_environment(work, settings.models.precision))


if __name__ == "__main__":
    main(sys.argv[1:])
