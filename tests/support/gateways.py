"""Gateway processes for tests, and remove.bg's client for Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

import producer.gateway
from cutstream.settings import GatewaySettings, Settings, as_environment
from tests.support.ports import free_ports

NODE_PACKAGE = "remove.bg@1.3.0"


class GatewayProcess:
    """A gateway process, started as an operator would start it, on a port of its own."""

    def __init__(self, settings: Settings, log: Path) -> None:
        (port,) = free_ports(1)
        self.settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
        self.address = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.address, timeout=60)
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(producer.gateway.COMMAND),
                env={**os.environ, **as_environment(self.settings)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, timeout_s: float = 60) -> GatewayProcess:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}:\n{self.tail()}"
            try:
                if self.client.get("/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                pass  # it does not listen yet
            time.sleep(0.1)
        raise AssertionError(f"the gateway is not ready after {timeout_s} s:\n{self.tail()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.close()

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def with_gateway(settings: Settings, folder: Path, **section: object) -> Settings:
    """Return settings with a gateway whose folder is `folder`/gateway, and with its uploads readable for workers."""
    state = folder / "gateway"
    (state / "uploads").mkdir(parents=True, exist_ok=True)
    objects = settings.objects.model_copy(update={"file_roots": (*settings.objects.file_roots, state / "uploads")})
    gateway = GatewaySettings(**{"state": state, "port": 0, **section})  # type: ignore[arg-type]
    return settings.model_copy(update={"objects": objects, "gateway": gateway})


@contextmanager
def gateway_process(settings: Settings, folder: Path) -> Iterator[GatewayProcess]:
    started = GatewayProcess(settings, folder / "gateway.log")
    try:
        yield started.wait_ready()
    finally:
        started.kill()


class NoNodeClient(Exception):
    """Node, npm or the package cannot be had here. The message says which."""


def node_client(folder: Path) -> Path:
    """Return the folder of npm's `remove.bg`, installed below `folder` once. Raises NoNodeClient."""
    installed = folder / "node_modules" / "remove.bg"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NoNodeClient(f"{program} is not installed")
    if not installed.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            "npm",
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(folder),
            NODE_PACKAGE,
        ]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=90)
        except subprocess.TimeoutExpired as exc:
            raise NoNodeClient(f"npm does not get {NODE_PACKAGE} in time") from exc
        if found.returncode:
            raise NoNodeClient(f"npm cannot get {NODE_PACKAGE}: {found.stderr[-200:]}")
    return installed
