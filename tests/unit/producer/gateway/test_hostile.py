"""What strangers send: too much, too slowly, malformed, or from the pages of another site."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Authority
from tests.support.group import wait_until
from tests.support.stand_in_worker import PICTURE

PHOTO = b"\xff\xd8 a photo"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


def part(name: str, content: bytes, more: str = "; filename=a.jpg") -> bytes:
    return f"--x\r\nContent-Disposition: form-data; name={name}{more}\r\n\r\n".encode() + content + b"\r\n"


def until_closed(client: socket.socket) -> bytes:
    """Return what comes until the gateway closes the connection."""
    received = b""
    while data := client.recv(65_536):
        received += data
    return received


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


def test_bodies_that_cannot_be_read_are_named(serve: Callable, tmp_path: Path) -> None:
    served = serve(max_body_bytes=2_000_000)
    json_body, form = {"Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"}
    deep = b'{"a":' * 100 + b"1" + b"}" * 100
    for headers, body, expected in (
        (MULTIPART, b"", (400, "invalid_body")),
        (MULTIPART, b"no multipart at all", (400, "invalid_body")),
        (MULTIPART, part("image_file", PHOTO), (400, "invalid_body")),  # no end
        (MULTIPART, part("image_file", PHOTO)[:40], (400, "invalid_body")),
        (MULTIPART, b"--x\r\nContent-Type: text/plain\r\n\r\nno name\r\n--x--\r\n", (400, "invalid_body")),
        (MULTIPART, b"".join(part(f"f{n}", b"", "") for n in range(100)) + b"--x--\r\n", (400, "invalid_body")),
        (MULTIPART, part("size", b"x" * 70_000, "") + b"--x--\r\n", (400, "invalid_body")),
        (MULTIPART, part("size", b"\xff\xfe", "") + b"--x--\r\n", (400, "invalid_body")),
        (MULTIPART, b"--x\r\n" + b"A: b\r\n" * 50 + b"\r\n\r\n--x--\r\n", (400, "invalid_body")),
        (MULTIPART, part("image_file", PHOTO) * 3 + b"--x--\r\n", (400, "multiple_sources")),
        (MULTIPART, part("image_file", PHOTO * 120_000) + b"--x--\r\n", (400, "file_too_large")),
        (MULTIPART, part("image_file", b"", '; filename=""') + b"--x--\r\n", (400, "missing_source")),
        ({"Content-Type": "multipart/form-data"}, part("image_file", PHOTO), (400, "invalid_body")),
        ({"Content-Type": "multipart/form-data; boundary=" + "x" * 80}, b"", (400, "invalid_body")),
        (json_body, b"{", (400, "invalid_body")),
        (json_body, b"[]", (400, "invalid_body")),
        (json_body, b"\xff", (400, "invalid_body")),
        (json_body, deep, (400, "invalid_body")),
        (json_body, b"[" * 100_000, (400, "invalid_body")),
        (json_body, json.dumps({"size": "x" * 70_000}).encode(), (400, "invalid_body")),
        (json_body, b'{"image_file_b64": "?"}', (400, "failed_to_read_image")),
        (json_body, b'{"image_file_b64": 7}', (400, "failed_to_read_image")),
        (json_body, json.dumps({"image_file_b64": "A" * 1_500_000}).encode(), (400, "file_too_large")),
        (form, b"&".join(b"f%d=1" % n for n in range(100)), (400, "invalid_body")),
        (form, b"image_url=%ff%fe", (400, "invalid_image_url")),
        ({"Content-Type": "text/plain"}, b"photo", (415, "invalid_body")),
        ({**json_body, "Content-Encoding": "gzip"}, b"\x1f\x8b", (415, "invalid_body")),
        ({}, b"photo", (415, "invalid_body")),
        (json_body, b" " * 2_100_000, (413, "file_too_large")),
    ):
        answer = served.client.post("/v1.0/removebg", content=body, headers=headers)
        assert code_of(answer) == expected, (headers, body[:60], answer.text)
    assert not served.stream.requests
    assert not list((tmp_path / "state" / "spool").iterdir()), "a file is left"
    assert served.client.post("/v1.0/removebg", files={"image_file": PHOTO}).content == PICTURE


def test_a_body_without_a_length_is_bounded_too(serve: Callable, tmp_path: Path) -> None:
    served = serve(max_body_bytes=1_000_000, max_source_bytes=900_000)

    def chunks():
        yield part("image_file", b"")[:-2]
        for _ in range(100):
            yield b"x" * 65_536

    answer = served.client.post("/v1.0/removebg", content=chunks(), headers=MULTIPART)
    assert code_of(answer)[0] in (400, 413)
    assert not list((tmp_path / "state" / "spool").iterdir())


def test_bodies_share_a_memory(serve: Callable) -> None:
    served = serve(max_body_memory_bytes=1_000_000, max_source_bytes=10_000_000)
    body = {"image_file_b64": base64.b64encode(b"x" * 900_000).decode()}
    assert code_of(served.client.post("/v1.0/removebg", json=body)) == (429, "rate_limit_exceeded")
    small = {"image_file_b64": base64.b64encode(b"x" * 90_000).decode()}
    for _ in range(20):
        assert served.client.post("/v1.0/removebg", json=small).status_code == 200, "memory is not given back"


@pytest.mark.parametrize("sent", [b"POST /v1.0/removebg HT", b"POST /v1.0/removebg HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_head_that_never_ends_is_cut_off(serve: Callable, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    from producer.gateway import gateway as module

    bounds = module.ServerLimits
    monkeypatch.setattr(module, "ServerLimits", lambda **limits: bounds(**limits, head_s=0.5))
    with socket.create_connection(("127.0.0.1", serve().port), timeout=10) as client:
        client.sendall(sent)
        assert until_closed(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("path", "name"), [("/v1.0/removebg", "image_file"), ("/api/remove", "file"), ("/v1/jobs", "image_file")]
)
def test_a_body_that_drips_is_told_so_and_cut_off_and_leaves_nothing(
    serve: Callable, tmp_path: Path, path: str, name: str
) -> None:
    served = serve(body_timeout_s=1.0)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n"
        client.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + part(name, PHOTO))
        answer, _, body = until_closed(client).partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    if path == "/api/remove":
        assert "did not come in time" in json.loads(body)["detail"]
    else:
        assert json.loads(body)["errors"][0]["code"] == "request_timeout"
    assert not list((tmp_path / "state" / "spool").iterdir())
    assert served.client.post("/v1.0/removebg", files={"image_file": PHOTO}).content == PICTURE


def test_a_request_of_two_lengths_is_refused_with_what_follows_it(serve: Callable) -> None:
    with socket.create_connection(("127.0.0.1", serve().port), timeout=10) as client:
        head = (
            "POST /v1.0/removebg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        client.sendall(f"{head}0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = until_closed(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_balancers_may_probe_it_without_its_name(serve: Callable) -> None:
    served = serve(hosts=("cut.example.org",), prefix="/cutouts")
    for path, status in (("/healthz", b"200"), ("/cutouts/readyz", b"200"), ("/v1.0/account", b"421")):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            assert until_closed(client).split()[1] == status, path


def test_pages_of_other_sites_cannot_call_it_unless_they_are_listed(serve: Callable, tmp_path: Path) -> None:
    foreign = {"Origin": "https://shop.example.org", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    ask = {**foreign, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    closed = serve().client
    assert closed.post("/v1.0/removebg", files={"image_file": PHOTO}, headers=foreign).status_code == 403
    assert "access-control-allow-origin" not in closed.options("/v1.0/removebg", headers=ask).headers
    assert closed.get("/v1.0/account", headers={"Host": "evil.example.org"}).status_code == 421
    listed = serve(allowed_origins=("https://shop.example.org",), state=tmp_path / "state2").client
    answer = listed.options("/v1.0/removebg", headers=ask)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example.org"
    assert listed.post("/v1.0/removebg", files={"image_file": PHOTO}, headers=foreign).status_code == 200
    other = {**foreign, "Origin": "https://other.example.org"}
    assert listed.post("/v1.0/removebg", files={"image_file": PHOTO}, headers=other).status_code == 403


def test_behind_a_proxy_it_has_a_prefix(serve: Callable) -> None:
    client = serve(prefix="/cutouts", trusted_proxies=("127.0.0.1",)).client
    for path in ("/cutouts/v1.0/account", "/v1.0/account"):  # a proxy leaves the prefix in, or cuts it off
        assert client.get(path).status_code == 200
    answer = client.post("/cutouts/v1/jobs", json={"image": "https://example.org/a.jpg"})
    location = answer.headers["location"]
    assert location.startswith("/cutouts/v1/jobs/")
    wait_until(lambda: client.get(location).json()["status"] == "done", "the job is not done")
    (photo,) = client.get(location).json()["photos"]
    assert client.get(photo["outputs"][0]["url"]).content == PICTURE


def test_it_serves_https(serve: Callable, tmp_path: Path) -> None:
    certificate = Authority(tmp_path).issue("gateway")
    client = serve(ssl_certfile=certificate.chain, ssl_keyfile=certificate.key).client
    assert client.post("/v1.0/removebg", files={"image_file": PHOTO}).content == PICTURE


def test_head_does_no_work(serve: Callable) -> None:
    served = serve()
    assert served.client.head("/api/remove?url=https://example.org/a.jpg").status_code == 405
    assert served.client.head("/v1/jobs/any/events").status_code == 405
    assert served.client.head("/v1.0/account").status_code == 200
    assert not served.stream.requests


def test_no_text_of_a_job_breaks_its_fingerprint(serve: Callable) -> None:
    client, headers = serve().client, {"Content-Type": "text/csv", "Idempotency-Key": "one"}
    for cell in ('"{""a"": ""\\ud800""}"', '"{""a"": [NaN]}"', "1" * 5000):
        row = f"image,labels\nhttps://example.org/a.jpg,{cell}"
        answer = client.post("/v1/jobs", content=row.encode(), headers=headers)
        assert code_of(answer) == (400, "invalid_request"), answer.text


def test_malformed_bodies_do_not_fill_the_log(serve: Callable, caplog: pytest.LogCaptureFixture) -> None:
    answer = serve().client.post("/v1.0/removebg", content=b"--y\r\nrubbish", headers=MULTIPART)
    assert code_of(answer) == (400, "invalid_body")
    assert not [record for record in caplog.records if record.name.startswith("python_multipart")]


def test_a_length_without_end_is_refused_at_once(serve: Callable) -> None:
    with socket.create_connection(("127.0.0.1", serve().port), timeout=10) as client:
        head = "POST /v1.0/removebg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_paths_that_do_not_exist_and_methods_that_are_not_meant(serve: Callable) -> None:
    client = serve().client
    assert code_of(client.get("/v2/nothing")) == (404, "not_found")
    assert code_of(client.get("/v1.0/removebg")) == (405, "method_not_allowed")
    assert client.get("/v1/jobs/../../etc/passwd").status_code == 404
    assert client.get("/metrics").text.count("cutstream_gateway_calls_total{")
