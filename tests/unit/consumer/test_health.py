from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from consumer.health import HealthServer
from cutstream.errors import ConfigurationError
from cutstream.metrics import Metrics
from tests.support.ports import has_ipv6


@pytest.fixture
def checks() -> dict[str, bool]:
    return {"running": True, "triton": True}


@pytest.fixture
def address(checks: dict[str, bool]) -> Iterator[str]:
    metrics = Metrics()
    metrics.requests.labels("fast", "ok", "").inc(3)
    server = HealthServer("127.0.0.1", 0, metrics, lambda: {"loop": True}, lambda: checks)
    yield server.start()
    server.close()


def get(address: str, path: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def test_one_failing_check_makes_readiness_a_503_and_is_named(address: str, checks: dict[str, bool]) -> None:
    assert get(address, "/readyz")[0] == 200
    checks["triton"] = False
    status, media_type, body = get(address, "/readyz")
    assert (status, media_type, json.loads(body)) == (503, "application/json", {"running": True, "triton": False})
    assert get(address, "/healthz")[0] == 200


def test_metrics_have_the_prometheus_text_format(address: str) -> None:
    status, media_type, body = get(address, "/metrics?name=all")
    assert status == 200
    assert media_type.startswith("text/plain; version=")
    assert 'cutstream_requests_total{code="",profile="fast",status="ok"} 3.0' in body.splitlines()


def test_an_unknown_path_is_answered_with_the_known_paths(address: str) -> None:
    assert get(address, "/") == (404, "text/plain", "/metrics, /healthz or /readyz\n")


def test_a_port_in_use_is_an_error_that_names_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"127\.0\.0\.1:{port} \(Address already in use\): .*_WORKER__PORT"
        ):
            HealthServer("127.0.0.1", port, Metrics(), dict, dict).start()


def test_an_address_of_another_machine_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1:0 \(.*\): CUTSTREAM_WORKER__HOST"):
        HealthServer("192.0.2.1", 0, Metrics(), dict, dict).start()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_address_of_ipv6_is_listened_on() -> None:
    server = HealthServer("::1", 0, Metrics(), lambda: {"loop": True}, dict)
    address = server.start()
    assert address.startswith("http://[::1]:")
    assert get(address, "/healthz")[0] == 200
    server.close()


def test_a_closed_server_does_not_answer_and_can_be_closed_before_it_starts() -> None:
    server = HealthServer("127.0.0.1", 0, Metrics(), dict, dict)
    server.close()
    address = server.start()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        get(address, "/healthz")


def test_many_probes_at_once_are_all_answered_and_one_that_sends_nothing_is_dropped(address: str, monkeypatch) -> None:
    with ThreadPoolExecutor(64) as probes:
        assert {status for status, *_ in probes.map(lambda _: get(address, "/readyz"), range(256))} == {200}
    monkeypatch.setattr("consumer.health._REQUEST_TIMEOUT_S", 0.1)
    server = HealthServer("127.0.0.1", 0, Metrics(), dict, dict)
    silent = socket.create_connection(urlsplit(server.start()).netloc.split(":"))
    silent.settimeout(5)
    assert silent.recv(1) == b"", "it keeps a thread"
    silent.close()
    server.close()
