"""A real S3 server: Versity's gateway on a folder, built once from source with Go."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from cutstream.settings import ObjectSettings
from tests.support.ports import free_ports

VERSION = "v1.8.0"
BUILD_TIMEOUT_S = 100
ACCESS_KEY, SECRET_KEY = "cutstream", "cutstream-secret"


class NoGateway(Exception):
    pass


@dataclass(frozen=True)
class S3Server:
    """A running S3 server. Every folder inside `folder` is a bucket."""

    binary: Path
    port: int
    folder: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir()
        return path

    def settings(self, **changes: object) -> ObjectSettings:
        own = {
            "s3_endpoint": self.endpoint,
            "s3_access_key_id": ACCESS_KEY,
            "s3_secret_access_key": SecretStr(SECRET_KEY),
        }
        return ObjectSettings.model_validate({**own, **changes})


def gateway(tools: Path) -> Path:
    """Return the gateway's program, built into `tools` if it is missing. Raises NoGateway with the reason."""
    binary = tools / f"versitygw-{VERSION}" / "versitygw"
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise NoGateway("the S3 server is built by Go, which is not installed")
    binary.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            [go, "install", f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"],
            env={**os.environ, "GOBIN": str(binary.parent)},
            check=True,
            capture_output=True,
            timeout=BUILD_TIMEOUT_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        raise NoGateway(f"the S3 server cannot be built: {(exc.stderr or b'').decode()[-300:] or exc}") from exc
    return binary


@contextmanager
def s3_server(binary: Path, folder: Path, port: int | None = None) -> Iterator[S3Server]:
    """Run the server on the given port, or on a free one, until the block is left."""
    port = port or free_ports(1)[0]
    process = subprocess.Popen(
        [binary, "--port", f"127.0.0.1:{port}", "--quiet", "posix", folder],
        env={**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_listening(port, process)
        yield S3Server(binary, port, folder)
    finally:
        process.kill()
        process.wait()


def _wait_listening(port: int, process: subprocess.Popen[bytes], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the S3 server ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the S3 server does not answer after {timeout_s} s")
