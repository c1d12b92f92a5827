from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from time import monotonic, sleep
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cutstream.errors import ConfigurationError
from cutstream.web import (
    STYLE,
    Limits,
    WebServer,
    allowed_hosts,
    guarded,
    is_authorized,
    listen,
    site,
    static_routes,
)

QUICK = Limits(connections=20, head_s=0.5, body_s=0.5, unread_s=0.5)


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def length(request: Request) -> Response:
    try:
        return PlainTextResponse(str(len(await request.body())))
    except ClientDisconnect:
        return PlainTextResponse("gone", 400)


async def broken(request: Request) -> Response:
    raise RuntimeError("broken")


async def endless(request: Request) -> Response:
    async def chunks():
        while True:
            yield b"x" * 65_536

    return StreamingResponse(chunks())


@pytest.fixture
def server() -> Iterator[str]:
    yield from serving(QUICK)


def serving(limits: Limits) -> Iterator[str]:
    routes = [
        Route("/hello", hello),
        Route("/length", length, methods=["POST"]),
        Route("/broken", broken),
        Route("/endless", endless),
        *static_routes(STYLE),
    ]
    app = site(routes, allowed_hosts("127.0.0.1", ["cut.example.org"]))
    server = WebServer(app, listen("127.0.0.1", 0, "page"), "test", limits)
    yield urlsplit(server.start()).netloc
    server.close()


def ask(
    address: str, path: str = "/hello", method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()


def opened(address: str, data: bytes = b"") -> socket.socket:
    host, _, port = address.rpartition(":")
    client = socket.create_connection((host, int(port)), timeout=10)
    client.sendall(data)
    return client


def everything(client: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    received = b""
    while data := client.recv(65_536):
        received += data
    return received


def test_every_answer_has_the_security_headers(server: str) -> None:
    for path in ("/hello", "/nothing", "/style.css"):
        headers = ask(server, path)[1]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == ("no-cache" if path == "/style.css" else "no-store")
        assert "Server" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9101", 200),
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("[::1]:9101", 200),
        ("cut.example.org", 200),
        ("evil.example.org:9101", 421),
        ("127.0.0.1.evil.example.org", 421),
        ("", 421),
    ],
)
def test_a_name_that_only_resolves_to_loopback_is_refused(server: str, host: str, status: int) -> None:
    assert ask(server, Host=host)[0] == status


def test_a_service_of_all_addresses_knows_no_names_unless_they_are_named() -> None:
    assert allowed_hosts("0.0.0.0") is None
    assert allowed_hosts("10.0.0.7", ["cut.example.org"]) == {"cut.example.org"}
    assert "127.0.0.2" in (allowed_hosts("127.0.0.2") or ())


@pytest.mark.parametrize(
    ("site", "mode", "method", "status"),
    [
        ("same-origin", "cors", "GET", 200),
        ("none", "navigate", "GET", 200),
        ("cross-site", "navigate", "GET", 200),
        ("cross-site", "no-cors", "GET", 403),
        ("same-site", "cors", "GET", 403),
        ("cross-site", "navigate", "POST", 403),
    ],
)
def test_other_sites_pages_may_link_here_and_no_more(
    server: str, site: str, mode: str, method: str, status: int
) -> None:
    path = "/length" if method == "POST" else "/hello"
    assert ask(server, path, method, Sec_Fetch_Site=site, Sec_Fetch_Mode=mode)[0] == status


def test_assets_are_sent_once_as_long_as_they_are_the_same(server: str) -> None:
    status, headers, text = ask(server, "/style.css")
    assert (status, headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http-equiv", ""), "the style asks nobody else for anything"
    status, _, text = ask(server, "/style.css", If_None_Match=headers["ETag"])
    assert (status, text) == (304, "")


@pytest.mark.parametrize("path", ["/../server.py", "/static/style.css", "/%2e%2e/server.py", "/style.css/"])
def test_no_other_file_can_be_asked_for(server: str, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.logs_errors
def test_an_error_of_the_app_is_logged_and_answered(server: str, caplog: pytest.LogCaptureFixture) -> None:
    status, _, text = ask(server, "/broken")
    assert (status, text) == (500, "Internal Server Error")
    until = monotonic() + 5  # the answer comes first
    while not (logged := [r.getMessage() for r in caplog.records if r.name == "cutstream.web.server"]):
        assert monotonic() < until
        sleep(0.01)
    assert logged == ["unexpected error while answering /broken"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /hello HTT",
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123",
        b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["nothing", "a line", "half a head", "half a body", "no reader"],
)
def test_who_is_slow_is_cut_off(server: str, sent: bytes) -> None:
    with opened(server, sent) as client:
        sleep(1.5)
        client.settimeout(10)
        try:
            while client.recv(1 << 20):
                pass
        except ConnectionResetError:
            pass


@pytest.mark.parametrize("sent", [b"GET /hello HTT", b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_who_has_sent_a_part_of_a_head_is_told_that_it_is_late(server: str, sent: bytes) -> None:
    with opened(server, sent) as client:
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"\r\n\r\nthe head of the request did not come in time")


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"not both"),
        (b"HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"not both"),
        (b"HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n", b"HTTP/1.0 has no"),
    ],
)
def test_a_request_whose_end_is_in_doubt_hides_no_other_one(server: str, head: bytes, why: bytes) -> None:
    """A proxy in front may believe that what follows is the body."""
    hidden = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with opened(server, b"POST /length " + head + b"Host: localhost\r\n\r\n0\r\n\r\n" + hidden) as client:
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer.lower()
    assert why in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"hello" not in answer


def test_a_request_whose_end_is_in_doubt_is_refused_after_a_good_one_too(server: str) -> None:
    good = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
    doubtful = b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    with opened(server, good + doubtful + b"0\r\n\r\n" + good) as client:
        answer = everything(client)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]


def test_probes_need_no_host_that_is_known() -> None:
    app = Starlette(routes=[Route("/healthz", hello), Route("/hello", hello)])
    server = WebServer(guarded(app, ["cut.example.org"], probes=["/healthz"]), listen("127.0.0.1", 0, "page"), "test")
    address = urlsplit(server.start()).netloc
    for path, expected in (("/healthz", b"200"), ("/hello", b"421"), ("/healthz/../hello", b"421")):
        for request in (b" HTTP/1.0\r\n\r\n", b" HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nConnection: close\r\n\r\n"):
            with opened(address, b"GET " + path.encode() + request) as client:
                assert everything(client).split()[1] == expected, (path, request)
    server.close()


def test_who_drips_is_cut_off_at_the_same_time(server: str) -> None:
    with opened(server, b"GET /hello HTTP/1.1\r\nHost: localhost\r\n") as client:
        began = monotonic()
        with suppress(ConnectionResetError, BrokenPipeError):
            while monotonic() < began + 10:
                client.sendall(b"X: y\r\n")
                sleep(0.05)
        assert monotonic() < began + 5


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET /" + b"x" * 40_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"\xff\x00" * 1000,
    ],
)
def test_rubbish_is_answered_or_cut_off_and_nothing_is_logged(
    server: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(server, sent) as client:
        client.shutdown(socket.SHUT_WR)
        try:
            while client.recv(65_536):
                pass
        except ConnectionResetError:
            pass
    assert ask(server)[0] == 200
    assert caplog.records == []


def test_many_idle_connections_keep_nobody_out(server: str) -> None:
    idle = [opened(server) for _ in range(3 * QUICK.connections)]
    assert ask(server)[2] == "hello"
    for client in idle:
        client.close()


def test_an_answer_waits_for_no_acknowledgement() -> None:
    found: list[int] = []

    async def look(request: Request) -> Response:
        (connection,) = server._server.server_state.connections
        opened_socket = connection.transport.get_extra_info("socket")  # type: ignore[union-attr]
        found.append(opened_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/look", look)])
    server = WebServer(app, listen("127.0.0.1", 0, "page"), "test", QUICK)
    assert ask(urlsplit(server.start()).netloc, "/look")[0] == 200
    server.close()
    assert found == [1]


def test_a_head_that_comes_at_once_is_bounded_too(server: str) -> None:
    head = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n"
    with opened(server, head + b"X-More: 1\r\n" * 10_000 + b"\r\n") as client:
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    body = b"x" * 200_000
    for sent in (
        b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n" + body,
        b"POST /length HTTP/1.1\nHost: localhost\nContent-Length: 200000\n\n" + body,
    ):
        with opened(server, sent) as client:
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_connection_is_kept_for_the_next_request_whose_head_must_not_drip() -> None:
    for address in serving(Limits(head_s=0.3, idle_s=30)):
        with opened(address) as client:
            for _ in range(3):
                client.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while not answer.endswith(b"hello"):
                    answer += client.recv(65_536)
                sleep(0.5)  # idle for longer than a head may take
            client.sendall(b"GET /hello HTTP/1.1\r\n")
            began = monotonic()
            with suppress(ConnectionResetError):
                assert everything(client).startswith(b"HTTP/1.1 408 ")
            assert monotonic() - began < 5
        with (
            opened(address, b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he") as client,
            suppress(ConnectionResetError),
        ):
            while client.recv(65_536):  # the head of the second request never ends
                pass
    for address in serving(Limits(idle_s=1)):
        with opened(address, b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
            while client.recv(65_536):
                pass


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs TCP_USER_TIMEOUT, which Linux has")
def test_a_stream_of_little_data_ends_if_its_client_reads_nothing() -> None:
    """The system's buffers have room for all of it, so that the server itself never has to wait."""
    ended = threading.Event()

    async def events(request: Request) -> Response:
        async def chunks():
            try:
                while True:
                    yield b"x" * 2000
                    await asyncio.sleep(0.05)
            finally:
                ended.set()

        return StreamingResponse(chunks())

    app = Starlette(routes=[Route("/events", events)])
    server = WebServer(app, listen("127.0.0.1", 0, "page"), "test", Limits(unread_s=600, stalled_s=0.5))
    address = urlsplit(server.start())
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((address.hostname, address.port))
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert ended.wait(30)
    server.close()


def test_where_all_connections_are_at_work_a_new_one_is_told_so() -> None:
    for address in serving(Limits(connections=3, unread_s=60)):
        busy = [opened(address, b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(3)]
        for client in busy:
            client.recv(1)
        status, headers, text = ask(address)
        assert (status, headers["Retry-After"], text) == (503, "5", "too many connections: try again in a while")
        for client in busy:
            client.close()


def test_it_closes_at_once_with_an_answer_that_ends_then() -> None:
    ended, stop = threading.Event(), []

    async def events(request: Request) -> Response:
        closing = asyncio.Event()
        stop.append(closing.set)

        async def chunks():
            yield b"first"
            await closing.wait()
            ended.set()
            yield b"last"

        return StreamingResponse(chunks())

    app = Starlette(routes=[Route("/events", events)])
    server = WebServer(app, listen("127.0.0.1", 0, "page"), "test", on_close=lambda: [end() for end in stop])
    address = urlsplit(server.start()).netloc
    with opened(address, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        assert client.recv(65_536)
        began = monotonic()
        server.close()
        assert monotonic() - began < 1.5
        assert ended.is_set()
    with pytest.raises(ConnectionRefusedError):
        opened(address)


def test_it_closes_within_seconds_whatever_its_clients_do() -> None:
    server = WebServer(Starlette(routes=[Route("/endless", endless)]), listen("127.0.0.1", 0, "page"), "test")
    address = urlsplit(server.start()).netloc
    with opened(address, b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n") as client, opened(address):
        client.recv(1)
        began = monotonic()
        server.close()
        assert monotonic() - began < 5


def test_a_server_that_never_started_can_be_closed() -> None:
    WebServer(Starlette(), listen("127.0.0.1", 0, "page"), "test").close()


def test_a_taken_port_is_an_error_that_names_the_settings_of_its_section() -> None:
    with listen("127.0.0.1", 0, "page") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port} \(Address already in use\): .*_PAGE__HOST"):
            listen("127.0.0.1", port, "page")


def test_a_token_is_asked_for_where_there_is_one() -> None:
    token = SecretStr("0123456789abcdef")
    assert is_authorized("", None)
    assert is_authorized("Bearer 0123456789abcdef", token)
    assert is_authorized("bearer  0123456789abcdef", token)
    for wrong in ("", "Bearer", "Bearer 0123456789abcde", "Basic 0123456789abcdef", "0123456789abcdef", "Bearer é"):
        assert not is_authorized(wrong, token)
