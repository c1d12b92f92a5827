"""Jobs over a real Kafka, with a stand-in for the workers."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from cutstream.clients.kafka import OutgoingRecord, RecordWriter
from cutstream.contract.messages import encode
from producer.cancelling import list_cancellations
from producer.gateway.calls import parse_request
from producer.gateway.job_records import Job, NewPhoto
from producer.gateway.job_store import JobStore
from tests.support.group import wait_until
from tests.support.stand_in_worker import PICTURE, StandInWorker
from tests.support.webhook_receiver import KEY, SECRET, Receiver, receiving

pytestmark = pytest.mark.kafka

ADDRESSES = [f"https://example.org/{number}.jpg" for number in range(5)]


def done(client: httpx.Client, id: str, timeout_s: float = 20) -> dict[str, Any]:
    """Wait until a job is done, and return it with its photos."""
    found: dict[str, Any] = {}

    def is_done() -> bool:
        found.update(client.get(f"/v1/jobs/{id}").json())
        return found["status"] == "done"

    wait_until(is_done, "the job is not done", timeout_s)
    return found


def events(client: httpx.Client, id: str, last: int | None = None) -> list[tuple[str, str, dict]]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    found = []
    with client.stream("GET", f"/v1/jobs/{id}/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for block in "".join(stream.iter_text()).strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def test_a_job_of_many_addresses(running: Callable, worker: StandInWorker) -> None:
    client = running().client
    order = {"images": ADDRESSES, "options": {"crop": True, "labels": {"shop": "42"}}}
    answer = client.post("/v1/jobs", json=order)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["status"], job["count"], job["waiting"]) == ("running", 5, 5)
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    job = done(client, job["id"])
    assert job["results"] == {"ok": 5}
    assert [photo["image"] for photo in job["photos"]] == ADDRESSES
    assert all(request.crop and request.labels["shop"] == "42" for request in worker.requests)
    assert all(topic.startswith("requests") for topic in worker.topics)
    (output,) = job["photos"][3]["outputs"]
    picture = client.get(output["url"])
    assert (picture.status_code, picture.content, picture.headers["content-type"]) == (200, PICTURE, "image/png")
    assert client.get(output["url"]).content == PICTURE, "it can be fetched again"
    assert client.get(f"/v1/jobs/{job['id']}/photos/9/cutout").status_code == 404
    assert [found["id"] for found in client.get("/v1/jobs").json()["jobs"]] == [job["id"]]
    page = client.get(f"/v1/jobs/{job['id']}", params={"after": 3, "limit": 1}).json()["photos"]
    assert [photo["number"] for photo in page] == [4]


def test_a_job_of_uploads_and_one_of_csv(running: Callable, worker: StandInWorker, tmp_path: Path) -> None:
    client = running().client
    files = [("image_file", (f"photo {number}.jpg", b"\xff\xd8" + bytes([number]) * 1000)) for number in range(3)]
    data = {"options": '{"outputs": ["mask"]}', "urgent": "true"}
    answer = client.post("/v1/jobs", files=files, data=data)
    assert answer.status_code == 202, answer.text
    job = done(client, answer.json()["id"])
    assert [photo["image"] for photo in job["photos"]] == ["photo 0.jpg", "photo 1.jpg", "photo 2.jpg"]
    assert [request.outputs for request in worker.requests] == [("mask",)] * 3
    assert all(topic.startswith("urgent") for topic in worker.topics)
    wait_until(lambda: not list((tmp_path / "gateway" / "uploads").iterdir()), "uploads are still there")

    rows = 'image,crop,background\nhttps://a.example/1.jpg,true,\nhttps://a.example/2.jpg,,"{""color"": ""red""}"\n'
    answer = client.post(
        "/v1/jobs",
        content=rows.encode(),
        headers={"Content-Type": "text/csv"},
        params={"options": '{"outputs": ["composite"]}'},
    )
    assert answer.status_code == 202, answer.text
    done(client, answer.json()["id"])
    first, second = sorted(worker.requests[3:], key=lambda request: request.image)
    assert (first.crop, second.crop, second.background.color) == (True, False, "red")


REFUSED = [
    ({}, "missing_source"),
    ({"images": []}, "missing_source"),
    ({"image": "https://a.example/", "images": ["https://a.example/"]}, "multiple_sources"),
    ({"image": "file:///etc/passwd"}, "invalid_image_url"),
    ({"image": "s3://bucket/key"}, "invalid_image_url"),
    ({"image": "https://a.example/", "options": {"destination": "s3://b/"}}, "invalid_destination"),
    ({"image": "https://a.example/", "options": {"background": {"image": "file:///x"}}}, "invalid_bg_image_url"),
    ({"image": "https://a.example/", "options": {"id": "x/y"}}, "invalid_request"),
    ({"images": ["https://a.example/"] * 2, "options": {"id": "x"}}, "invalid_request"),
    ({"image": "https://a.example/", "options": {"deadline": "soon"}}, "invalid_request"),
    ({"image": "https://a.example/", "options": {"colour": "x"}}, "invalid_request"),
    ({"image": "https://a.example/", "options": {"roi": "x"}}, "invalid_option"),
    ({"image": "https://a.example/", "webhook": "https://b.example/"}, "invalid_webhook"),
    ({"image": "https://a.example/", "unknown": 1}, "invalid_request"),
    ({"images": ["https://a.example/"] * 4}, "too_many_photos"),
]


def test_a_job_that_cannot_succeed_is_refused_as_a_whole(running: Callable) -> None:
    client = running(max_job_photos=3).client
    for order, code in REFUSED:
        answer = client.post("/v1/jobs", json=order)
        assert answer.status_code == 400, answer.text
        assert answer.json()["errors"][0]["code"] == code, order
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_results_come_as_events_and_can_be_resumed(running: Callable, worker: StandInWorker) -> None:
    client = running().client
    worker.holding.set()
    id = client.post("/v1/jobs", json={"images": ADDRESSES}).json()["id"]
    threading.Timer(0.5, worker.holding.clear).start()
    found = events(client, id)
    assert [(kind, number) for kind, number, _ in found] == [
        *(("photo", str(place)) for place in range(1, 6)),
        ("done", "5"),
    ]
    assert {data["status"] for kind, _, data in found if kind == "photo"} == {"ok"}
    assert found[-1][2]["results"] == {"ok": 5}
    assert [number for _, number, _ in events(client, id, last=3)] == ["4", "5", "5"]


def test_an_idempotency_key_makes_one_job(running: Callable, worker: StandInWorker) -> None:
    client = running().client
    key = {"Idempotency-Key": "order 7"}
    first = client.post("/v1/jobs", json={"images": ADDRESSES}, headers=key)
    again = client.post("/v1/jobs", json={"images": ADDRESSES}, headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["id"] == again.json()["id"]
    other = client.post("/v1/jobs", json={"images": ADDRESSES[:1]}, headers=key)
    assert (other.status_code, other.json()["errors"][0]["code"]) == (422, "idempotency_key_reused")
    done(client, first.json()["id"])
    assert len(worker.requests) == 5


def test_a_job_can_be_called_off(running: Callable, worker: StandInWorker) -> None:
    started = running()
    worker.holding.set()
    id = started.client.post("/v1/jobs", json={"images": ADDRESSES}).json()["id"]
    wait_until(lambda: worker.requests, "no request was written")
    answer = started.client.delete(f"/v1/jobs/{id}")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    (cancellation,) = list_cancellations(started.settings.kafka, started.gateway._clock)
    assert cancellation.labels == {"gateway-job": id}
    worker.answer = lambda request: worker.result(
        request, status="cancelled", error={"code": "cancelled", "message": "", "stage": "request", "retryable": False}
    )
    worker.holding.clear()


def test_jobs_are_their_clients_own(running: Callable, worker: StandInWorker, tmp_path: Path) -> None:
    from cutstream.clock import SystemClock
    from producer.gateway.keys import create_key

    file = tmp_path / "keys.toml"
    shop, other = (create_key(file, name, SystemClock()) for name in ("shop", "other"))
    client = running(keys=file).client
    assert client.post("/v1/jobs", json={"images": ADDRESSES}).status_code == 403
    assert client.post("/v1/jobs", json={"images": ADDRESSES}, headers={"X-Api-Key": "no"}).status_code == 403
    answer = client.post("/v1/jobs", json={"images": ADDRESSES}, headers={"Authorization": f"Bearer {shop}"})
    assert answer.status_code == 202
    assert answer.headers["x-ratelimit-remaining"] == "495"
    id = answer.json()["id"]
    assert client.get(f"/v1/jobs/{id}", headers={"X-Api-Key": shop}).status_code == 200
    for path in (f"/v1/jobs/{id}", f"/v1/jobs/{id}/events", f"/v1/jobs/{id}/photos/1/cutout"):
        assert client.get(path, headers={"X-Api-Key": other}).status_code == 404
    assert client.delete(f"/v1/jobs/{id}", headers={"X-Api-Key": other}).status_code == 404
    assert client.get("/v1/jobs", headers={"X-Api-Key": other}).json() == {"jobs": []}


# -- restarts


def test_results_that_came_while_the_gateway_was_down_are_found(running: Callable, worker: StandInWorker) -> None:
    first = running()
    worker.holding.set()
    id = first.client.post("/v1/jobs", json={"images": ADDRESSES}).json()["id"]
    wait_until(lambda: worker.requests, "no request was written")
    first.stop()
    worker.holding.clear()
    wait_until(lambda: len(worker.requests) == 5, "the requests are not all done")
    job = done(running().client, id)
    assert job["results"] == {"ok": 5}
    assert len(worker.requests) == 5, "a photo was done twice"


def test_requests_whose_writing_was_cut_off_are_written_once(
    running: Callable, worker: StandInWorker, kafka_settings: Any, tmp_path: Path
) -> None:
    """A gateway was killed after it had stored a job, and after it had written two of three requests."""
    store = JobStore(tmp_path / "gateway" / "jobs.sqlite")
    store.open()
    import time

    now = time.time()
    requests = [
        parse_request({"image": address, "id": f"old-j-{number}", "labels": {"gateway-job": "old-j"}})
        for number, address in enumerate(ADDRESSES[:3])
    ]
    job = Job("old-j", "", now, None, False, False, 3, 3, None, "", 0)
    photos = [NewPhoto(request.id or "", request.image, None, encode(request)) for request in requests]
    store.add(job, photos, None, "", {})
    store.close()
    writer = RecordWriter(kafka_settings)
    writer.write(
        OutgoingRecord(kafka_settings.requests_topic, (request.id or "").encode(), encode(request))
        for request in requests[:2]
    )
    writer.close()
    wait_until(lambda: len(worker.requests) == 2, "the worker has not seen them")
    started = running()
    wait_until(lambda: len(worker.requests) >= 3, "the third request was not written")
    assert sorted(request.id or "" for request in worker.requests) == ["old-j-0", "old-j-1", "old-j-2"]
    assert started.client.get("/v1/jobs/old-j").json()["count"] == 3


# -- webhooks


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def documented(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Verify a webhook by the code in docs/http.md."""
    code = Path("docs/http.md").read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    return bool(names["is_genuine"](headers, body, secret))


def test_a_webhook_is_signed_and_tried_again(running: Callable, worker: StandInWorker, receiver: Receiver) -> None:
    client = running(webhook_secret=SECRET, webhook_private_addresses=True).client
    receiver.statuses = [500]
    answer = client.post("/v1/jobs", json={"images": ADDRESSES, "webhook": receiver.url})
    assert answer.status_code == 202, answer.text
    id = answer.json()["id"]
    wait_until(lambda: len(receiver.received) == 2, "the webhook did not come twice")
    for headers, body in receiver.received:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(KEY, signed, sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert headers["webhook-id"] == id
        assert documented(headers, body, SECRET), "docs/http.md verifies it otherwise"
        assert not documented(headers, body + b" ", SECRET)
        told = json.loads(body)
        assert (told["type"], told["data"]["id"], told["data"]["results"]) == ("job.done", id, {"ok": 5})
    wait_until(lambda: client.get(f"/v1/jobs/{id}").json()["webhook"]["status"] == "delivered", "not noted")


def test_a_webhook_goes_to_the_public_internet_only(running: Callable) -> None:
    client = running(webhook_secret=SECRET).client
    for url in ("http://127.0.0.1/", "http://169.254.169.254/", "http://[::1]/", "ftp://a.example/", "x"):
        answer = client.post("/v1/jobs", json={"images": ADDRESSES, "webhook": url})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "invalid_webhook"), url
