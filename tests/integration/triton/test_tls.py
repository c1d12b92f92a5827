"""A real Triton that speaks TLS and asks for a certificate, and what is said to a client that it does not fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from cutstream.clients.triton import Triton
from cutstream.errors import TritonUnavailable
from cutstream.settings import Settings, TritonSettings
from deploy.local.process import Supervisor
from deploy.local.triton import triton_server
from export.repository.render import render
from tests.support.certificates import Authority
from tests.support.models import picture_with_blob
from tests.support.ports import free_stack_ports

pytestmark = [pytest.mark.triton, pytest.mark.timeout(180)]

Client = Callable[..., TritonSettings]


@pytest.fixture(scope="module")
def client(triton: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Returns settings with which the server lets a client in, but for what the caller changes."""
    folder, ports = tmp_path_factory.mktemp("tls"), free_stack_ports()
    authority = Authority(folder)
    server, own = authority.issue("server"), authority.issue("worker")
    stack = triton.stack.model_copy(update={"state": folder, **ports})
    settings = triton.model_copy(update={"stack": stack})
    render(settings)
    spec = triton_server(settings)
    tls = {"use-ssl-mutual": 1, "server-cert": server.chain, "server-key": server.key, "root-cert": authority.file}
    command = [*spec.command, *(f"--grpc-{name}={value}" for name, value in tls.items())]

    def settings_with(**changes: object) -> TritonSettings:
        files = {"ssl_cafile": authority.file, "ssl_certfile": own.chain, "ssl_keyfile": own.key}
        url = f"localhost:{ports['triton_grpc_port']}"
        return TritonSettings(**{"url": url, "tls": True, "timeout_s": 5.0, **files, **changes})

    settings_with.folder = folder
    with Supervisor(60) as supervisor, closing(Triton(settings_with())) as ours:
        supervisor.start(replace(spec, command=command, ready=ours.ready))
        yield settings_with


def test_a_client_with_a_certificate_gets_mattes(client: Client) -> None:
    with closing(Triton(client(token="for-a-proxy"))) as triton:
        assert triton.problem() == ""
        ensemble = triton.ensemble("general")
        picture = picture_with_blob((60, 100), 25)[None]
        assert triton.infer(ensemble, picture).shape == picture.shape[:3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ssl_cafile": "stranger"}, "CERTIFICATE_VERIFY_FAILED|certificate verify failed"),
        ({"url": "127.0.0.1"}, "Hostname Verification Check failed"),
        ({"ssl_certfile": None, "ssl_keyfile": None}, "Triton: "),
        ({"tls": False, "ssl_cafile": None, "ssl_certfile": None, "ssl_keyfile": None}, "failed to connect"),
    ],
    ids=["an authority that is not trusted", "another name", "no certificate", "no TLS"],
)
def test_a_client_that_does_not_fit_is_told_so_within_seconds(
    client: Client, changes: dict[str, object], words: str
) -> None:
    if changes.get("ssl_cafile"):
        changes = {"ssl_cafile": Authority(client.folder, "stranger").file}
    if "url" in changes:
        changes = {"url": client().url.replace("localhost", "127.0.0.1")}
    started = time.monotonic()
    with closing(Triton(client(**changes))) as triton:
        assert not triton.ready()
        with pytest.raises(TritonUnavailable, match=words):
            triton.ensemble("general")
    assert time.monotonic() - started < 20
