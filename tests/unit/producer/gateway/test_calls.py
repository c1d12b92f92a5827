"""Synchronous calls: what they answer, and what they leave behind."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cutstream.clock import SystemClock
from cutstream.contract.messages import ErrorDetail
from cutstream.errors import StoreUnavailable
from producer.gateway.keys import create_key
from tests.support.group import wait_until
from tests.support.stand_in_worker import PICTURE

PHOTO = b"\xff\xd8 a photo"
LATE = "2130-01-01T00:00:00Z"


def test_each_way_to_send_a_photo_reaches_the_worker_with_the_same_bytes(serve: Callable, tmp_path: Path) -> None:
    served = serve()
    seen: list[bytes] = []

    def look(request):
        seen.append(Path(request.image.removeprefix("file://")).read_bytes())
        return served.worker.succeed(request)

    served.stream.answer = look
    b64 = base64.b64encode(PHOTO).decode()
    post = served.client.post
    for answer in (
        post("/v1.0/removebg", files={"image_file": PHOTO}),
        post("/v1.0/removebg", files={"image_file": ("a b.jpg", PHOTO, "image/jpeg")}, data={"size": "hd"}),
        post("/v1.0/removebg", data={"image_file_b64": b64}),
        post("/v1.0/removebg", json={"image_file_b64": f"data:image/jpeg;base64,{b64}"}),
        post("/v1.0/removebg", files={"image_file_b64": (None, b64.rstrip("="))}),
        post("/api/remove", files={"file": PHOTO}),
    ):
        assert (answer.status_code, answer.content) == (200, PICTURE), answer.text
    assert seen == [PHOTO] * 6
    wait_until(lambda: not list((tmp_path / "state" / "uploads").iterdir()), "an upload is left")
    wait_until(lambda: not list((tmp_path / "out").iterdir()), "an output is left")
    assert not list((tmp_path / "state" / "spool").iterdir())


def test_a_background_may_be_uploaded_as_well(serve: Callable) -> None:
    served = serve()
    answer = served.client.post("/v1.0/removebg", files={"image_file": PHOTO, "bg_image_file": b"beach"})
    assert answer.status_code == 200
    (request,) = served.stream.requests
    assert request.background.image
    assert request.background.image != request.image
    assert request.outputs == ("composite",)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("unknown_foreground", 400),
        ("failed_image_download", 400),
        ("unexpected", 500),
        ("destination_unavailable", 500),
    ],
)
def test_a_failed_request_is_answered_with_its_code(serve: Callable, code: str, status: int) -> None:
    served = serve()
    served.stream.answer = served.worker.fail(code, "the reason")
    answer = served.client.post("/v1.0/removebg", files={"image_file": PHOTO})
    assert answer.status_code == status, answer.text
    (error,) = answer.json()["errors"]
    assert (error["code"], error["detail"]) == (code, "the reason")
    answer = served.client.post("/api/remove", files={"file": PHOTO})
    assert answer.status_code == status, answer.text
    assert "the reason" in answer.json()["detail"]


def test_a_request_that_expires_is_a_gateway_timeout(serve: Callable) -> None:
    served = serve()
    error = ErrorDetail(code="expired", message="too late", stage="fetch", retryable=True)
    served.stream.answer = lambda request: served.worker.result(request, status="expired", error=error)
    answer = served.client.post("/v1.0/removebg", files={"image_file": PHOTO})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (504, "expired")
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("cause", "status", "code"),
    [
        ("failed_image_download", 400, "failed_image_download"),
        ("failed_bg_download", 400, "failed_bg_download"),
        ("destination_unavailable", 504, "expired"),
    ],
)
def test_a_request_that_expires_because_its_source_is_away_says_so(
    serve: Callable, cause: str, status: int, code: str
) -> None:
    served = serve()
    error = ErrorDetail(code="expired", message="refused", stage="fetch", retryable=False, cause=cause)
    served.stream.answer = lambda request: served.worker.result(request, status="expired", error=error)
    answer = served.client.post("/v1.0/removebg", json={"image_url": "https://example.org/a.jpg"})
    (told,) = answer.json()["errors"]
    assert (answer.status_code, told["code"], told["detail"]) == (status, code, "refused")
    served.client.post("/v1/jobs", json={"image": "https://example.org/a.jpg", "options": {"deadline": LATE}})
    (job,) = served.client.get("/v1/jobs").json()["jobs"]
    wait_until(lambda: served.client.get(f"/v1/jobs/{job['id']}").json()["status"] == "done", "the job is not done")
    (photo,) = served.client.get(f"/v1/jobs/{job['id']}").json()["photos"]
    assert (photo["error"]["code"], photo["error"]["cause"]) == ("expired", cause)


def refused(served) -> dict[str, float]:
    """Return how many calls were refused, by reason."""
    text = served.client.get("/metrics").text
    found = re.findall(r'^cutstream_gateway_refused_total\{reason="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {reason: float(count) for reason, count in found}


def test_a_stream_that_is_away_is_named_before_the_body_is_read(serve: Callable) -> None:
    served = serve()
    served.stream._reading.clear()
    answer = served.client.post("/v1.0/removebg", files={"image_file": PHOTO})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "service_unavailable")
    assert served.client.get("/readyz").status_code == 503
    assert refused(served) == {"stream": 1.0}
    served.stream._reading.set()
    served.stream.away = True
    answer = served.client.post("/v1.0/removebg", files={"image_file": PHOTO})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "service_unavailable")


def test_an_overloaded_stream_refuses_calls_before_their_bodies_have_come(serve: Callable) -> None:
    served = serve(max_wait_s=2.0)
    served.stream.load.note_results(10)
    served.stream.load.note_lag(1000, 0)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        head = "POST /v1.0/removebg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n"
        client.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        answer = client.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 429 ")
    assert 1 <= int(answer.lower().partition("retry-after: ")[2].partition("\r")[0]) <= 60
    assert not served.stream.requests
    assert served.client.get("/v1.0/account").status_code == 200
    assert refused(served) == {"wait": 1.0}
    told = served.client.get("/metrics").text
    assert 'cutstream_gateway_call_duration_seconds_count{call="account"}' in told
    assert 'cutstream_gateway_call_duration_seconds_count{call="removebg"}' not in told, "a refusal is no latency"


def test_a_client_that_goes_away_has_its_request_called_off(serve: Callable, tmp_path: Path) -> None:
    served = serve()
    served.stream.answer = lambda request: None
    kafka = served.gateway._settings.kafka
    body = b"--x\r\nContent-Disposition: form-data; name=image_file; filename=a.jpg\r\n\r\nphoto\r\n--x--\r\n"
    head = f"POST /v1.0/removebg HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + body)
        wait_until(lambda: served.stream.requests, "the request was not written")
    (request,) = served.stream.requests

    def cancellations():
        return [record for record in served.stream.records if record.topic == kafka.cancellations_topic]

    wait_until(cancellations, "the request was not called off")
    (cancellation,) = cancellations()
    assert cancellation.key == f"id:{request.id}".encode()
    assert json.loads(cancellation.value or b"")["id"] == request.id
    # It was finished all the same: what it has stored is removed, and so is the cancellation.
    served.stream.deliver(served.worker.succeed(request))
    wait_until(lambda: cancellations()[-1].value is None, "the cancellation stays")
    wait_until(lambda: not list((tmp_path / "out").iterdir()), "the output stays")
    wait_until(lambda: not list((tmp_path / "state" / "uploads").iterdir()), "the upload stays")


def test_a_photo_that_cannot_be_stored_is_no_request(
    serve: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(name: str, file: Path) -> str:
        raise StoreUnavailable("away")

    served = serve()
    monkeypatch.setattr(served.gateway._uploaded, "put_file", refuse)
    for path, name in (("/v1.0/removebg", "image_file"), ("/api/remove", "file")):
        answer = served.client.post(path, files={name: PHOTO})
        assert (answer.status_code, "uploads cannot be stored now" in answer.text) == (503, True)
    assert not served.stream.records
    assert not list((tmp_path / "state" / "spool").iterdir())
    assert not served.gateway._waiting, "it still waits"


def test_a_client_that_goes_away_while_its_photo_is_stored_sends_no_request(
    serve: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served = serve()
    storing, go_on, put_file = threading.Event(), threading.Event(), served.gateway._uploaded.put_file

    def slowly(name: str, file: Path) -> str:
        storing.set()
        assert go_on.wait(30)
        return str(put_file(name, file))

    monkeypatch.setattr(served.gateway._uploaded, "put_file", slowly)
    body = b"--x\r\nContent-Disposition: form-data; name=file; filename=a.jpg\r\n\r\nphoto\r\n--x--\r\n"
    head = f"POST /api/remove HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + body)
        assert storing.wait(30)
    waiting = served.gateway._waiting
    wait_until(lambda: waiting._abandoned, "it is not noticed")
    go_on.set()
    wait_until(lambda: not waiting, "it still waits")
    wait_until(lambda: not list((tmp_path / "state" / "uploads").iterdir()), "the upload stays")
    assert not served.stream.requests


def test_clients_have_keys_and_limits(serve: Callable, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    key = create_key(file, "shop", SystemClock())
    file.write_text(file.read_text() + "requests_per_minute = 2\n")
    served = serve(keys=file)
    answer = served.client.post("/v1.0/removebg", files={"image_file": PHOTO})
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (403, "Missing API Key")
    for left in ("1", "0"):
        answer = served.client.post("/v1.0/removebg", files={"image_file": PHOTO}, headers={"X-API-Key": key})
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-remaining"] == left
    answer = served.client.post("/v1.0/removebg", files={"image_file": PHOTO}, headers={"X-API-Key": key})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (429, "rate_limit_exceeded")
    assert refused(served) == {"key_rate": 1.0}
    assert 1 <= int(answer.headers["retry-after"]) <= 61
    assert abs(int(answer.headers["x-ratelimit-reset"]) - time.time()) < 62


def test_a_key_may_have_a_smaller_limit_of_size(serve: Callable, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    key = create_key(file, "shop", SystemClock())
    file.write_text(file.read_text() + "max_bytes = 1000\n")
    client = serve(keys=file).client
    b64 = base64.b64encode(PHOTO * 200).decode()
    for body in ({"files": {"image_file": PHOTO * 200}}, {"json": {"image_file_b64": b64}}):
        answer = client.post("/v1.0/removebg", headers={"X-API-Key": key}, **body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "file_too_large")


def test_a_call_passes_its_trace_on(serve: Callable) -> None:
    served = serve()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    served.client.post("/v1.0/removebg", files={"image_file": PHOTO}, headers={"traceparent": trace})
    assert served.stream.records[0].headers == [("traceparent", trace.encode())]


def test_a_photo_can_be_handed_in_for_improvement(serve: Callable, tmp_path: Path) -> None:
    assert serve().client.post("/v1.0/improve", files={"image_file": PHOTO}).status_code == 501
    served = serve(improvements=str(tmp_path / "bad"), state=tmp_path / "state2")
    answer = served.client.post("/v1.0/improve", files={"image_file": PHOTO}, data={"tag": "x"})
    assert answer.status_code == 200
    assert (tmp_path / "bad" / "anybody" / answer.json()["id"]).read_bytes() == PHOTO


def test_an_account_never_runs_out(serve: Callable) -> None:
    attributes = serve().client.get("/v1.0/account").json()["data"]["attributes"]
    assert attributes["credits"]["total"] > 0
    assert attributes["api"]["free_calls"] > 0
