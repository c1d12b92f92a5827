"""Kubernetes' own API server with etcd, without nodes and controllers: what it accepts, a cluster accepts.

`python -m tests.support.kubernetes` builds both from source with Go, which takes about ten minutes once. Tests that
need them are skipped without them.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.helm import TOOLS
from tests.support.ports import free_ports

KUBERNETES = "1.35.4"
ETCD = "3.6.5"
API_SERVER, ETCD_SERVER = TOOLS / "bin" / "kube-apiserver", TOOLS / "bin" / "etcd"
MISSING = "the API server is not built: `python -m tests.support.kubernetes` builds it with Go"
START_TIMEOUT_S = 60
_TOKEN = "token-of-the-tests"


@dataclass(frozen=True)
class Cluster:
    """A running API server. `kubeconfig` is a file for Helm."""

    address: str
    kubeconfig: Path

    def post(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object and return what the server says. Raises AssertionError with its words if it refuses."""
        request = urllib.request.Request(
            f"{self.address}{path}",
            json.dumps(manifest).encode(),
            {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, context=_unverified(), timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            raise AssertionError(json.load(exc)["message"]) from exc


def is_built() -> bool:
    return API_SERVER.exists() and ETCD_SERVER.exists()


@contextmanager
def api_server(folder: Path) -> Iterator[Cluster]:
    """Run etcd and the API server on free ports until the block is left."""
    clients, peers, port = free_ports(3)
    (folder / "tokens.csv").write_text(f"{_TOKEN},admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "accounts.key", "2048"], check=True, capture_output=True)
    etcd = _start(
        folder / "etcd.log",
        ETCD_SERVER,
        *("--data-dir", folder / "etcd"),
        *(
            "--listen-client-urls",
            f"http://127.0.0.1:{clients}",
            "--advertise-client-urls",
            f"http://127.0.0.1:{clients}",
        ),
        *("--listen-peer-urls", f"http://127.0.0.1:{peers}"),
    )
    server = _start(
        folder / "api-server.log",
        API_SERVER,
        *(f"--etcd-servers=http://127.0.0.1:{clients}", f"--secure-port={port}", "--bind-address=127.0.0.1"),
        *(f"--cert-dir={folder / 'certificates'}", f"--token-auth-file={folder / 'tokens.csv'}"),
        *(f"--service-account-key-file={folder / 'accounts.key'}", "--authorization-mode=RBAC"),
        *(
            f"--service-account-signing-key-file={folder / 'accounts.key'}",
            "--service-account-issuer=https://localhost",
        ),
        "--service-cluster-ip-range=10.0.0.0/16",
    )
    try:
        address = f"https://127.0.0.1:{port}"
        _wait_ready(address, server, folder / "api-server.log")
        yield Cluster(address, _kubeconfig(folder, address))
    finally:
        for process in (server, etcd):
            process.kill()
            process.wait()


def _start(log: Path, *command: str | Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def _wait_ready(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    request = urllib.request.Request(f"{address}/readyz", headers={"Authorization": f"Bearer {_TOKEN}"})
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-2000:]
        with suppress(OSError), urllib.request.urlopen(request, context=_unverified(), timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"the API server is not ready after {START_TIMEOUT_S} s: {log.read_text()[-2000:]}")


def _unverified() -> ssl.SSLContext:
    """The server makes a certificate of its own at each start, on loopback."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _kubeconfig(folder: Path, address: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": address, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "tests", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    }
    file = folder / "kubeconfig.json"
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    return file


def _build() -> None:
    """Build both programs. Neither can be installed by its name, since their modules replace others."""
    _, minor, patch = KUBERNETES.split(".")
    source = TOOLS / "kubernetes"
    source.mkdir(parents=True, exist_ok=True)
    requirements = f"require (\n\tk8s.io/kubernetes v{KUBERNETES}\n\tgo.etcd.io/etcd/server/v3 v{ETCD}\n)\n"
    (source / "go.mod").write_text(f"module local/kubernetes\n\ngo 1.25\n\n{requirements}")
    (source / "go.sum").unlink(missing_ok=True)

    def go(*arguments: str) -> str:
        environment = {**os.environ, "GOFLAGS": "-mod=mod"}
        return subprocess.run(
            ["go", *arguments], cwd=source, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    # Kubernetes requires its own parts as v0.0.0, and finds them beside itself. Elsewhere they have versions.
    kubernetes = json.loads(go("mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"))
    required = json.loads(go("mod", "edit", "-json", str(Path(kubernetes["Dir"]) / "go.mod")))["Require"]
    own = [each["Path"] for each in required if each["Version"] == "v0.0.0"]
    replaced = "".join(f"replace {name} => {name} v0.{minor}.{patch}\n" for name in own)
    (source / "go.mod").write_text(f"module local/kubernetes\n\ngo 1.25\n\n{requirements}\n{replaced}")
    stamp = "k8s.io/component-base/version"
    stamps = f"-X {stamp}.gitVersion=v{KUBERNETES} -X {stamp}.gitMajor=1 -X {stamp}.gitMinor={minor}"
    go("build", "-o", str(ETCD_SERVER), "go.etcd.io/etcd/server/v3")
    go("build", "-ldflags", stamps, "-o", str(API_SERVER), "k8s.io/kubernetes/cmd/kube-apiserver")


if __name__ == "__main__":
    _build()
    sys.exit(0)
