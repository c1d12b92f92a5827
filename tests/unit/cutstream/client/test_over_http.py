"""The HTTP transport against a server that misbehaves."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cutstream import Client
from cutstream.client import (
    ClientClosed,
    GatewayRefused,
    GatewayUnavailable,
    NoResult,
    OutputUnavailable,
    PhotoUnreadable,
    over_http,
)
from cutstream.client.over_http import _interval_s
from cutstream.clients import http_service

PHOTO = "https://example.org/shoe.jpg"
PICTURE = b"a picture"
SHA256 = "e1a7d4fd0cc4e8aa3ed0a6a3f6ee4aa9de43dbb4d3a8e5c5e6a7d1d6f4f4c5a1"

Answer = tuple[int, dict[str, str], bytes]


class Service(ThreadingHTTPServer):
    """A gateway whose answers can be replaced, by `METHOD /path`: each is given once, before the usual one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Calls)
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.instead: dict[str, list[Answer | None]] = {}  # None: the connection is closed without an answer
        self.jobs: dict[str, str] = {}  # idempotency key -> job
        self.status = "ok"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, call: str) -> int:
        return sum(made.startswith(call) for made, _, _ in self.calls)

    def usual(self, call: str, headers: dict[str, str]) -> Answer:
        match call.split("/"):
            case ["GET ", "v1.0", "account"]:
                return 200, {}, b"{}"
            case ["POST ", "v1", "jobs"]:
                job = self.jobs.setdefault(headers["idempotency-key"], f"j{len(self.jobs)}")
                return 202, {}, json.dumps({"id": job}).encode()
            case ["GET ", "v1", "jobs", job]:
                output = {"output": "cutout", "bytes": len(PICTURE), "sha256": SHA256, "width": 1, "height": 1}
                photo = {"number": 1, "id": f"{job}-1", "image": PHOTO, "status": self.status, "new": "field"}
                if self.status == "ok":
                    photo["outputs"] = [{**output, "media_type": "image/png"}]
                return 200, {}, json.dumps({"id": job, "photos": [photo]}).encode()
            case ["DELETE ", *_]:
                return 202, {}, b"{}"
        return 200, {}, PICTURE


class _Calls(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        call, headers = f"{self.command} {self.path}", {name.lower(): text for name, text in self.headers.items()}
        self.server.calls.append((call, headers, body))
        waiting = self.server.instead.get(call, [])
        answer = waiting.pop(0) if waiting else self.server.usual(call, headers)
        if answer is None:
            self.server.usual(call, headers)  # it has been done
            self.close_connection = True
            return
        status, more, data = answer
        self.send_response(status)
        for name, text in more.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *arguments: object) -> None:
        pass


def refused(status: int, code: str = "a_code", **headers: str) -> Answer:
    error = {"title": "The title", "code": code, "detail": "the detail"}
    return (
        status,
        {name.replace("_", "-"): text for name, text in headers.items()},
        json.dumps({"errors": [error]}).encode(),
    )


def serving(service: Service) -> Iterator[Service]:
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield service
    service.shutdown()
    service.server_close()
    thread.join()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(http_service, "_FIRST_PAUSE_S", 0.01)
    yield from serving(Service())


@pytest.fixture
def other() -> Iterator[Service]:
    yield from serving(Service())


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.address, key="cs_secret", timeout_s=20) as client:
        yield client


def test_a_request_whose_answer_is_lost_is_sent_again_as_the_same(client: Client, service: Service) -> None:
    service.instead["POST /v1/jobs"] = [None, refused(503), refused(429, Retry_After="0")]
    assert client.cut(PHOTO).ok
    keys = {headers["idempotency-key"] for call, headers, _ in service.calls if call.startswith("POST")}
    assert (service.count("POST"), len(keys), len(service.jobs)) == (4, 1, 1)


def test_a_service_that_takes_nothing_is_given_up_in_the_end(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_http, "_SEND_S", 0.05)
    service.instead["POST /v1/jobs"] = [refused(503)] * 1000
    with pytest.raises(GatewayUnavailable, match=r"takes nothing now \(503\)"):
        client.submit(PHOTO)
    assert client.in_flight == []


def test_a_refusal_is_told_in_the_words_of_the_service(client: Client, service: Service) -> None:
    service.instead["POST /v1/jobs"] = [refused(400, "invalid_image_url"), (404, {}, b"<html>another service")]
    with pytest.raises(GatewayRefused, match=r"\(400, invalid_image_url\): The title: the detail") as caught:
        client.submit(PHOTO)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (400, "invalid_image_url", False)
    with pytest.raises(GatewayRefused, match=r"it may be another service: <html>another service"):
        client.submit(PHOTO)


def test_an_answer_that_is_no_job_s_is_named(client: Client, service: Service) -> None:
    service.instead["POST /v1/jobs"] = [(200, {}, b"welcome")]
    with pytest.raises(GatewayUnavailable, match="none of this service's"):
        client.submit(PHOTO)


def test_the_key_is_sent_and_not_shown_to_another_host(client: Client, service: Service, other: Service) -> None:
    result = client.cut(PHOTO)
    moved = {"Location": f"{other.address}/signed?x=1".replace("127.0.0.1", "localhost")}
    service.instead["GET /v1/jobs/j0/photos/1/cutout"] = [(307, moved, b"")]
    with pytest.raises(OutputUnavailable, match="not those that were stored"):  # a picture of another digest
        result.read()
    assert all(headers["authorization"] == "Bearer cs_secret" for _, headers, _ in service.calls)
    ((call, headers, _),) = other.calls
    assert call == "GET /signed?x=1"
    assert "authorization" not in headers


def test_results_are_asked_for_until_they_are_there(client: Client, service: Service) -> None:
    service.status = "waiting"
    handle = client.submit(PHOTO)
    with pytest.raises(NoResult):
        handle.result(0.5)
    service.instead["GET /v1/jobs/j0"] = [refused(500), None]
    service.status = "failed"
    result = handle.result()
    assert (result.status, result.error.code) == ("failed", "failed")
    assert result.details.id == "j0-1"


def test_a_job_that_the_service_has_lost_fails(client: Client, service: Service) -> None:
    service.instead["GET /v1/jobs/j0"] = [refused(404, "not_found")]
    with pytest.raises(GatewayRefused, match="404, not_found"):
        client.cut(PHOTO)


def test_a_key_that_is_revoked_ends_the_client(client: Client, service: Service) -> None:
    service.instead["GET /v1/jobs/j0"] = [refused(403, "auth_failed")]
    handle = client.submit(PHOTO)
    for use in (handle.result, lambda: client.submit(PHOTO)):
        with pytest.raises(GatewayRefused, match="403, auth_failed"):
            use()


def test_what_is_called_off_before_it_is_sent_is_never_sent(client: Client, service: Service) -> None:
    service.status = "waiting"
    service.instead["POST /v1/jobs"] = [refused(429, Retry_After="1")] * over_http._SENDERS
    taken = []

    def photos() -> Iterator[str]:
        for _ in range(20):
            taken.append(PHOTO)
            yield PHOTO
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        list(client.cut_many(photos()))
    while client.in_flight:  # those that were being sent are jobs that are called off, the others end at once
        service.status = "cancelled"
    assert service.count("DELETE") == len(service.jobs) <= over_http._SENDERS


def test_closing_ends_the_attempts(service: Service) -> None:
    client = Client(service.address)
    client.start()
    service.instead["POST /v1/jobs"] = [refused(429, Retry_After="100")] * 100
    failed: list[Exception] = []

    def submit() -> None:
        try:
            client.submit(PHOTO)
        except (ClientClosed, GatewayUnavailable) as exc:
            failed.append(exc)

    threads = [threading.Thread(target=submit) for _ in range(20)]
    for thread in threads:
        thread.start()
    while service.count("POST") < over_http._SENDERS:
        pass
    client.close()
    for thread in threads:
        thread.join()
    assert len(failed) == 20


@pytest.mark.parametrize("answer", [refused(403, "auth_failed"), (404, {}, b""), (200, {}, b"")])
def test_the_service_is_asked_at_the_start(service: Service, answer: Answer) -> None:
    service.instead["GET /v1.0/account"] = [answer]
    client = Client(service.address)
    if answer[0] == 200:
        client.start()
    else:
        with pytest.raises(GatewayRefused, match=str(answer[0])):
            client.start()
    client.close()


def test_a_file_may_have_a_name_of_any_encoding(client: Client, service: Service, tmp_path: Path) -> None:
    names = [b"latin\xe9.jpg", "кот.jpg".encode(), b'a "b"\nc.jpg', b"back\\slash\r.jpg", b"esc\x1b[1m.jpg"]
    files = [tmp_path / os.fsdecode(name) for name in names]
    for file in files:
        file.write_bytes(b"photo")
    results = list(client.cut_many([*files, *map(str, files)]))
    assert [result.error for result in results] == [None] * 10
    bodies = [body for call, _, body in service.calls if call == "POST /v1/jobs"]
    assert all(b"image_file" in body and body.decode() for body in bodies)
    assert any("latin�.jpg".encode() in body for body in bodies)


def test_a_file_that_is_gone_before_it_is_sent_is_a_failed_result(
    client: Client, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{number}.jpg" for number in range(9)]
    for file in files:
        file.write_bytes(b"photo")
    send = over_http.HttpTransport._send

    def lose(self: over_http.HttpTransport, request: object, source: Path, urgent: bool) -> None:
        if source.name == "4.jpg":
            source.unlink()
        send(self, request, source, urgent)  # type: ignore[arg-type]

    monkeypatch.setattr(over_http.HttpTransport, "_send", lose)
    results = {Path(str(result.photo)).name: result for result in client.cut_many(files)}
    assert [name for name, result in sorted(results.items()) if not result.ok] == ["4.jpg"]
    assert results["4.jpg"].error.code == "photo_unreadable"
    files[4].write_bytes(b"photo")
    with pytest.raises(PhotoUnreadable, match="cannot be read: No such file"):
        client.cut(files[4])


def test_old_and_many_jobs_are_asked_about_rarely() -> None:
    assert _interval_s(0, 0.0) == 0.1
    assert _interval_s(0, 60.0) == 3.0
    assert _interval_s(7, 3600.0) == 5.0
    assert _interval_s(8, 0.0) == 2.0
    assert _interval_s(200, 3600.0) == 5.0
