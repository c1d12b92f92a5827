from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from consumer.health import HealthServer
from cutstream.errors import ConfigurationError
from cutstream.metrics import Metrics
from tests.support.descriptors import no_descriptors
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


def get(address: str, path: str, authorization: str | None = None) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
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
    monkeypatch.setattr("consumer.http_server._IDLE_S", 0.1)
    server = HealthServer("127.0.0.1", 0, Metrics(), dict, dict)
    silent = socket.create_connection(urlsplit(server.start()).netloc.split(":"))
    silent.settimeout(10)
    assert silent.recv(1) == b"", "it keeps a descriptor"
    silent.close()
    server.close()


# Another process, because the connections of both ends together may be more than one may have.
_CROWD = """
import resource, socket, sys, time
port, said = int(sys.argv[1]), sys.argv[2].encode("latin-1")
drips = said and said.count(b"GET") < 2
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

def connect():
    connection = socket.create_connection(("127.0.0.1", port), 30)
    connection.sendall(said)
    connection.setblocking(False)
    return connection

connections = [connect() for _ in range(1500)]
print("connected", flush=True)
while True:
    for number, connection in enumerate(connections):
        try:
            connection.send(b"a" if drips else b"")
        except OSError:
            connection.close()
            connections[number] = connect()
    time.sleep(0.01)
"""
CROWDS = {
    "idle": "",
    "slow-headers": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "slow-bodies": "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    "answers-not-read": "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 20,
}


@pytest.mark.parametrize("said", CROWDS.values(), ids=CROWDS)
def test_no_crowd_of_connections_keeps_probes_out_or_takes_the_descriptors(address: str, said: str) -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    crowd = subprocess.Popen(
        [sys.executable, "-c", _CROWD, address.rpartition(":")[2], said], stdout=subprocess.PIPE, bufsize=0
    )
    try:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == b"connected\n"
        slowest_s = 0.0
        for _ in range(50):
            started_s = monotonic()
            assert get(address, "/healthz")[0] == 200
            slowest_s = max(slowest_s, monotonic() - started_s)
            assert len(os.listdir("/proc/self/fd")) < descriptors + 300
        assert threading.active_count() <= threads
        assert crowd.poll() is None, "the crowd has gone"
        assert slowest_s < 4, "a probe has 1 s; the rest is for a busy machine"
    finally:
        crowd.kill()
        crowd.wait()
        crowd.stdout.close()


def test_an_idle_connection_makes_room_for_a_probe_when_descriptors_are_used_up(address: str) -> None:
    server = urlsplit(address).netloc.split(":")
    with socket.create_connection(server) as idle, socket.socket() as probe:
        assert get(address, "/healthz")[0] == 200  # the idle one is accepted
        with no_descriptors():
            probe.settimeout(10)
            probe.connect((server[0], int(server[1])))
            probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert probe.recv(12) == b"HTTP/1.0 200"
        assert idle.recv(1) == b""
    assert get(address, "/healthz")[0] == 200


def send(address: str, request: bytes) -> bytes:
    """Send bytes, and return all that comes before the server ends the connection."""
    place = urlsplit(address).netloc.split(":")
    # It may end the connection while the rest is still being sent.
    with socket.create_connection(place, 10) as connection, suppress(ConnectionResetError):
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


def test_only_get_and_head_are_answered_one_request_a_connection(address: str) -> None:
    head = send(address, b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert b"Content-Length: 15\r\n" in head
    for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"XYZ"):
        refused = send(address, method + b" /metrics HTTP/1.1\r\nHost: a\r\nOrigin: http://evil\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 405 "), method
        assert b"Allow: GET, HEAD" in refused
        assert b"access-control" not in refused.lower()
    assert send(address, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 30).count(b"HTTP/1.1") == 1
    assert send(address, b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2).count(b"HTTP/1.0") == 1


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET /healthz HTTP/1.1\r\n" + b"X: 1\r\n" * 100_000 + b"\r\n", b"431"),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"413"),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 1_000_000, b"413"),
        (b"\0\xff\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
    ],
    ids=["header", "target", "headers", "length-of-5,000-digits", "body", "no-http", "negative-length"],
)
def test_what_is_too_large_or_no_http_is_refused_and_harms_nobody(
    address: str, request_head: bytes, status: bytes, caplog
) -> None:
    answer = send(address, request_head)
    assert answer == b"" or answer.split(b" ")[1] == status, answer[:200]  # empty if the rest was still under way
    assert get(address, "/healthz")[0] == 200
    assert not caplog.records


def test_with_a_token_metrics_are_for_those_who_send_it_and_probes_need_none() -> None:
    token = SecretStr("a-token-of-twenty-signs")
    server = HealthServer("127.0.0.1", 0, Metrics(), lambda: {"loop": True}, dict, token)
    address = server.start()
    wrong = (None, "", "Bearer", "Bearer ", f"Basic {token.get_secret_value()}", "Bearer a-token-of-twenty-sign\xe9")
    for authorization in (*wrong, token.get_secret_value(), f"Bearer {token.get_secret_value()}x"):
        status, _, body = get(address, "/metrics", authorization)
        assert (status, "cutstream_" in body) == (401, False), authorization
        assert token.get_secret_value() not in body
    assert b"\r\nwww-authenticate: bearer\r\n" in send(address, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").lower()
    for scheme in ("Bearer", "bearer"):
        assert get(address, "/metrics", f"{scheme} {token.get_secret_value()}")[0] == 200
    assert get(address, "/healthz")[0] == get(address, "/readyz")[0] == 200
    server.close()


def test_a_check_that_fails_by_itself_is_logged_and_a_500_without_details(caplog) -> None:
    def alive() -> dict[str, bool]:
        raise RuntimeError("secret details")

    server = HealthServer("127.0.0.1", 0, Metrics(), alive, dict)
    status, _, body = get(server.start(), "/healthz")
    server.close()
    assert status == 500
    assert "secret details" not in body
    assert "secret details" in caplog.text


def test_a_server_that_a_request_has_stopped_already_closes_in_order(checks: dict[str, bool]) -> None:
    """The thread that a request wakes runs what `stop` has just left for it, and closes what `stop` would write to."""
    server = HealthServer("127.0.0.1", 0, Metrics(), lambda: {"loop": True}, lambda: checks)
    server.start()
    assert server._server is not None
    trigger = server._server.trigger
    pull = trigger._physical_pull

    def woken_by_a_request() -> None:
        pull()
        assert server._thread is not None
        server._thread.join(10)
        pull()

    trigger._physical_pull = woken_by_a_request
    server.close()
    assert server._thread is not None
    assert not server._thread.is_alive()
