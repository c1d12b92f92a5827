"""Jobs without Kafka: what they are read from, where their outputs are fetched, and how they end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from cutstream.contract.messages import Choice, ErrorDetail, ServedModel
from producer.gateway.errors import CallRefused
from producer.gateway.job_records import Job
from producer.gateway.job_requests import parse_order
from tests.support.group import wait_until
from tests.support.stand_in_worker import PICTURE

LATE = "2030-01-01T00:00:00Z"
MODEL = ServedModel(name="cutout_fast", version="1", digest="", networks=("u2netp",))
CHOICE = Choice(reason="backlog", detail="9 wait")
A, B = "https://a.example/1.jpg", "https://b.example/2.jpg"


def order(values: dict[str, Any], query: dict[str, str] | None = None, uploads: int = 0) -> list[dict[str, Any]]:
    return [dict(request) for request in parse_order(values, query or {}, uploads, 3).requests]


def csv(text: str | bytes, **query: str) -> list[dict[str, Any]]:
    return order({"csv": text if isinstance(text, bytes) else text.encode()}, query)


def test_one_photo_several_and_requests_of_their_own() -> None:
    assert order({"image": A}) == [{"image": A}]
    assert order({"images": [A, B], "options": {"crop": True}, "labels": {"shop": "1"}}) == [
        {"image": A, "crop": True, "labels": {"shop": "1"}},
        {"image": B, "crop": True, "labels": {"shop": "1"}},
    ]
    requests = [{"image": A, "crop": False, "labels": {"n": "1"}}, {"image": B}]
    assert order({"requests": requests, "options": {"crop": True, "labels": {"n": "0"}}}) == [
        {"image": A, "crop": False, "labels": {"n": "1"}},
        {"image": B, "crop": True, "labels": {"n": "0"}},
    ]


def test_uploads_have_their_options_in_a_form() -> None:
    assert order({"options": '{"crop": true}', "urgent": "1", "webhook": ""}, uploads=2) == [{"crop": True}] * 2
    found = parse_order({"urgent": "true", "webhook": "https://w.example/"}, {}, 1, 3)
    assert (found.urgent, found.webhook) == (True, "https://w.example/")


def test_csv_has_addresses_or_a_header() -> None:
    assert csv(f"{A}\n\n {B} \r\n") == [{"image": A}, {"image": B}]
    assert csv(f"\ufeffimage,crop,quality,profile\n{A},true,80,\n{B}\n", options='{"format": "jpeg"}') == [
        {"format": "jpeg", "image": A, "crop": True, "quality": 80},
        {"format": "jpeg", "image": B},
    ]
    assert csv(f'profile,image,outputs\nfast,"{A}","[""mask""]"') == [
        {"profile": "fast", "image": A, "outputs": ["mask"]}
    ]


def test_photos_have_ids_and_deadlines_of_their_clients() -> None:
    late = "2030-01-01T00:00:00Z"
    requests = [{"image": A, "id": "order-7"}, {"image": B, "deadline": "2029-01-01T00:00:00Z"}]
    assert order({"requests": requests, "options": {"deadline": late}}) == [
        {"image": A, "id": "order-7", "deadline": late},
        {"image": B, "deadline": "2029-01-01T00:00:00Z"},
    ]
    assert order({"options": '{"id": "order-7"}'}, uploads=1) == [{"id": "order-7"}]
    assert csv(f"image,id,deadline\n{A}, 007 ,{late}") == [{"image": A, "id": "007", "deadline": late}]


def test_an_order_that_is_sent_again_with_a_later_deadline_is_the_same() -> None:
    def fingerprint(**fields: str) -> bytes:
        return parse_order({"requests": [{"image": A, **fields}]}, {}, 0, 3).fingerprint([], [])

    assert fingerprint(deadline="2030-01-01T00:00:00Z") == fingerprint(deadline="2031-01-01T00:00:00Z")
    assert fingerprint(id="one") != fingerprint(id="other")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"csv": b"\xff\xfe"}, "invalid_body"),
        ({"csv": b'"unclosed'}, "invalid_body"),
        ({"csv": b"a,b\nc,d"}, "invalid_body"),
        ({"csv": b"image,nonsense\nx,y"}, "invalid_body"),
        ({"csv": b"image\nx,y"}, "invalid_body"),
        ({"csv": f"image\n{A}{'x' * 9000}".encode()}, "invalid_body"),
        ({"csv": f"{A}\n".encode() * 4}, "too_many_photos"),
        ({"csv": f"{A}\n".encode() * 100_000}, "too_many_photos"),
        ({"csv": b""}, "missing_source"),
        ({"csv": b"image\n"}, "missing_source"),
        ({"images": [A] * 4}, "too_many_photos"),
        ({"requests": [{"image": A, "id": "a/b"}]}, "invalid_request"),
        ({"requests": [{"image": A, "id": 7}]}, "invalid_request"),
        ({"requests": [{"image": A, "id": "x"}, {"image": B, "id": "x"}]}, "invalid_request"),
        ({"requests": [{"image": A, "replay": 1}]}, "invalid_request"),
        ({"images": [A, B], "options": {"id": "x"}}, "invalid_request"),
        ({"image": A, "options": {"image": B}}, "invalid_request"),
        ({"requests": [{"image": A, "labels": 7}]}, "invalid_request"),
        ({"image": A, "options": "no json"}, "invalid_request"),
        ({"image": A, "options": "[]"}, "invalid_request"),
        ({"image": A, "urgent": "perhaps"}, "invalid_request"),
        ({"image": 7}, "invalid_request"),
    ],
)
def test_what_is_no_job_is_refused(values: dict[str, Any], code: str) -> None:
    with pytest.raises(CallRefused) as caught:
        order(values)
    assert (caught.value.status, caught.value.error_code) == (400, code)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"image\n\n" + A.encode() + b"\nfile:///\xe9", "line 4"),
        (f'{A}\n"unclosed', "row 2"),
        (f"{A}\n\nno address\n", "row 3"),
        (f"\nimage,nonsense\n{A},1", "row 2"),
        (f"image\n{A}\n{B},y", "row 3"),
        (f"image\n{A}\n{B}{'x' * 9000}", "row 3"),
        (f"image,id\n\n{A},a b", "row 3"),
        (f"image,replay\n{A},\n{B},1", "row 3"),
        (f"image,labels\n{A},7", "row 2"),
    ],
)
def test_csv_that_is_refused_is_told_by_its_row(text: str | bytes, words: str) -> None:
    with pytest.raises(CallRefused) as caught:
        csv(text)
    assert f"({words})" in caught.value.title


def test_the_same_id_twice_names_both_places() -> None:
    with pytest.raises(CallRefused) as caught:
        csv(f"image,id\n{A},x\n\n{B},x")
    assert (caught.value.title, caught.value.detail) == (
        "requests: the id x is that of 2 photos",
        "those of row 2, row 4",
    )


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"json": {"images": [A, "file:///etc/passwd"]}}, " (photo 2)"),
        ({"json": {"image": "file:///etc/passwd"}}, ""),
        ({"content": f"image\n\n{A}\nfile:///etc/passwd\n", "headers": {"Content-Type": "text/csv"}}, " (row 4)"),
    ],
)
def test_an_address_that_jobs_may_not_name_is_told_with_its_reason(serve: Callable, body: dict, place: str) -> None:
    answer = serve().client.post("/v1/jobs", **body)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (400, "invalid_image_url")
    assert error["title"] == f"Invalid image_url: Please provide a valid URL.{place}"
    assert "'file:///etc/passwd' is refused: give an address that begins with https:// or http://" in error["detail"]
    assert "CUTSTREAM_GATEWAY__ADDRESSES=true" in error["detail"]


def test_a_request_of_a_row_that_no_worker_accepts_names_the_row(serve: Callable) -> None:
    text = f"image,size\n{A},hd\n{B},huge\n"
    answer = serve().client.post("/v1/jobs", content=text, headers={"Content-Type": "text/csv"})
    assert "(row 3)" in answer.json()["errors"][0]["title"]


def done(client: httpx.Client, **values: Any) -> str:
    id = str(client.post("/v1/jobs", json=values).json()["id"])
    wait_until(lambda: client.get(f"/v1/jobs/{id}").json()["status"] == "done", "the job is not done")
    return id


def test_a_photo_shows_what_was_asked_and_how_it_was_done(serve: Callable) -> None:
    served = serve()
    requests = [{"image": A, "id": "order-7", "labels": {"shop": "42"}, "deadline": LATE}, {"image": B}]
    served.stream.answer = lambda request: None
    id = served.client.post("/v1/jobs", json={"requests": requests}).json()["id"]
    first, second = served.client.get(f"/v1/jobs/{id}").json()["photos"]
    seen = {"number": 1, "image": A, "status": "waiting", "labels": {"shop": "42"}}
    assert first == {**seen, "id": "order-7", "request_id": f"{id}-1", "deadline": LATE}
    assert (second["id"], second["labels"], "deadline" in second) == (f"{id}-2", {}, False)

    wait_until(lambda: len(served.stream.requests) == 2, "the requests were not written")
    good, bad = served.stream.requests
    assert (good.id, good.labels) == (f"{id}-1", {"shop": "42", "gateway-id": "order-7", "gateway-job": id})
    assert good.deadline is not None
    served.stream.deliver(
        served.worker.result(
            good, status="ok", profile="fast", model=MODEL, choice=CHOICE, timings_ms={"decode": 1.5}, attempts=2
        )
    )
    served.stream.deliver(served.worker.fail("failed_to_read_image")(bad))
    first, second = served.client.get(f"/v1/jobs/{id}").json()["photos"]
    assert (first["id"], first["status"], first["timings_ms"], first["attempts"]) == (
        "order-7",
        "ok",
        {"decode": 1.5},
        2,
    )
    assert first["model"] == {"name": "cutout_fast", "version": "1", "digest": "", "networks": ["u2netp"]}
    assert first["choice"] == {"reason": "backlog", "detail": "9 wait"}
    assert (second["error"]["stage"], second["timings_ms"], second["attempts"]) == ("decode", {}, 1)


def test_outputs_are_streamed_or_signed(serve: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = serve().client
    assert client.get(f"/v1/jobs/{done(client, image=A)}/photos/1/cutout").content == PICTURE
    served = serve(presign=True, presign_s=60, state=tmp_path / "signing")
    monkeypatch.setattr(served.gateway._outputs, "sign", lambda uri, seconds: f"https://signed.example/{seconds:g}")
    path = f"/v1/jobs/{done(served.client, image=A)}/photos/1/cutout"
    answer = served.client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (307, "https://signed.example/60")
    answer = served.client.get(path, headers={"X-Requested-With": "page"})
    assert (answer.status_code, answer.content) == (200, PICTURE), "a page's script cannot follow it"


def test_a_finished_job_is_removed_with_its_outputs_by_its_age(serve: Callable, tmp_path: Path) -> None:
    served = serve()
    id = done(served.client, images=[A, B])
    served.stream.answer = lambda request: None
    open_id = served.client.post("/v1/jobs", json={"image": A}).json()["id"]
    served.gateway._runner.clean_up(3600)
    assert served.client.get(f"/v1/jobs/{id}").status_code == 200
    served.gateway._runner.clean_up(-1)
    assert served.client.get(f"/v1/jobs/{id}").status_code == 404
    assert served.client.get(f"/v1/jobs/{open_id}").status_code == 200, "it is not done"
    assert not list((tmp_path / "out").iterdir())


def test_a_job_past_its_end_is_not_served_until_it_is_removed(
    serve: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(result_age_s=60)
    get = served.client.get
    key = {"Idempotency-Key": "one"}
    id = served.client.post("/v1/jobs", json={"image": A}, headers=key).json()["id"]
    wait_until(lambda: get(f"/v1/jobs/{id}").json()["status"] == "done", "the job is not done")
    assert [job["id"] for job in get("/v1/jobs").json()["jobs"]] == [id]
    now = time.time()
    monkeypatch.setattr(served.gateway._clock, "wall", lambda: now + 61)
    for path in (f"/v1/jobs/{id}", f"/v1/jobs/{id}/photos/1/cutout", f"/v1/jobs/{id}/events"):
        answer = get(path)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "not_found")
    assert get("/v1/jobs").json() == {"jobs": []}
    assert list((tmp_path / "out").iterdir()), "the next sweep removes them"
    again = served.client.post("/v1/jobs", json={"image": A}, headers=key)
    assert (again.status_code, again.json()["id"] == id) == (202, False), "its key is free again"


def test_a_job_whose_webhook_is_still_to_be_sent_is_served() -> None:
    job = Job("id", "", 0.0, 100.0, False, False, 1, 0, "https://w.example/", "failed", 1)
    assert not job.is_past(1000.0, 60.0)
    assert replace(job, webhook_state="given_up").is_past(1000.0, 60.0)
    assert replace(job, webhook=None).is_past(160.0, 60.0)
    assert not replace(job, webhook=None).is_past(159.0, 60.0)
    assert not replace(job, webhook=None, finished=None).is_past(1000.0, 60.0)


def test_an_output_that_was_removed_is_gone_and_one_that_never_was_is_not_found(
    serve: Callable, tmp_path: Path
) -> None:
    client = serve().client
    id = done(client, image=A)
    for number, output in (
        (1, "mask"),
        (2, "cutout"),
        (0, "cutout"),
        ("9" * 30, "cutout"),
        ("9" * 5000, "x"),
        ("x", "x"),
    ):
        answer = client.get(f"/v1/jobs/{id}/photos/{number}/{output}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "not_found"), number
    (stored,) = (tmp_path / "out").rglob("*.png")
    stored.unlink()
    answer = client.get(f"/v1/jobs/{id}/photos/1/cutout")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (410, "output_gone")
    assert "retry-after" not in answer.headers, "it will not come back"
    stored.symlink_to("/etc/passwd")
    answer = client.get(f"/v1/jobs/{id}/photos/1/cutout")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (502, "result_unreadable")


def test_one_photo_of_a_job_is_called_off(serve: Callable) -> None:
    served = serve()
    served.stream.answer = lambda request: None
    client, topic = served.client, served.gateway._settings.kafka.cancellations_topic
    id = client.post("/v1/jobs", json={"images": [A, B]}).json()["id"]
    wait_until(lambda: len(served.stream.requests) == 2, "the requests were not written")
    answer = client.delete(f"/v1/jobs/{id}/photos/2")
    assert (answer.status_code, answer.json()["number"], answer.json()["status"]) == (202, 2, "waiting")
    (cancellation,) = [record for record in served.stream.records if record.topic == topic]
    assert cancellation.key == f"id:{id}-2".encode()
    error = ErrorDetail(code="cancelled", message="called off", stage="request", retryable=False)
    first, second = served.stream.requests
    served.stream.deliver(served.worker.result(second, status="cancelled", error=error))
    served.stream.deliver(served.worker.succeed(first))
    job = client.get(f"/v1/jobs/{id}").json()
    assert (job["status"], job["results"]) == ("done", {"ok": 1, "cancelled": 1})
    withdrawn = [record for record in served.stream.records if record.topic == topic][1:]
    assert [(record.key, record.value) for record in withdrawn] == [(cancellation.key, None)]
    assert client.delete(f"/v1/jobs/{id}/photos/1").json()["status"] == "ok", "what has finished stays"
    assert client.delete(f"/v1/jobs/{id}/photos/3").status_code == 404
    assert len([record for record in served.stream.records if record.topic == topic]) == 2


def test_a_photo_that_is_called_off_before_it_was_written_never_is(serve: Callable) -> None:
    served = serve()
    served.stream._reading.clear()  # nothing is written before results are read
    id = served.client.post("/v1/jobs", json={"images": [A, B]}).json()["id"]
    assert served.client.delete(f"/v1/jobs/{id}/photos/1").status_code == 202
    served.stream._reading.set()
    wait_until(lambda: served.client.get(f"/v1/jobs/{id}").json()["status"] == "done", "the job is not done")
    assert [photo["status"] for photo in served.client.get(f"/v1/jobs/{id}").json()["photos"]] == ["cancelled", "ok"]
    assert [request.image for request in served.stream.requests] == [B]


def test_a_key_is_not_for_another_photo_of_the_same_size(serve: Callable) -> None:
    client, key = serve().client, {"Idempotency-Key": "one"}

    def status(photo: bytes) -> int:
        return client.post("/v1/jobs", files={"image_file": photo}, headers=key).status_code

    assert [status(b"a photo"), status(b"a photo"), status(b"another")] == [202, 200, 422]


def test_a_full_disk_is_answered_and_passes(serve: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve()
    database = served.gateway._store._database._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages}")
    answer = served.client.post("/v1/jobs", json={"images": [A] * 1000})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"]
    assert served.client.post("/api/remove", files={"file": b"x"}).content == PICTURE, "calls need no database"
    database.execute("PRAGMA max_page_count=100000")
    done(served.client, image=A)


def test_requests_that_cannot_be_written_now_are_written_later(
    serve: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from producer.gateway import job_runner

    monkeypatch.setattr(job_runner, "_RETRY_S", 0.1)
    looked: list[list[str]] = []
    monkeypatch.setattr(job_runner, "find_written", lambda kafka, topic, ids, since: looked.append(list(ids)) or set())
    served = serve()
    served.stream.away = True
    answer = served.client.post("/v1/jobs", json={"image": A})
    assert answer.status_code == 202, "it is stored, and will be done"
    wait_until(lambda: looked, "it did not look whether the request had been written after all")
    served.stream.away = False
    wait_until(
        lambda: served.client.get(f"/v1/jobs/{answer.json()['id']}").json()["status"] == "done", "it was not written"
    )
    assert len(served.stream.requests) == 1


def test_nothing_is_written_before_results_are_read(serve: Callable) -> None:
    served = serve()
    served.stream._reading.clear()
    id = served.client.post("/v1/jobs", json={"image": A}).json()["id"]
    time.sleep(0.5)
    assert not served.stream.requests, "its result might have been missed"
    served.gateway._on_results((), {0: 7})  # the reader has found its place
    assert served.gateway._store.positions() == {0: 7}
    served.stream._reading.set()
    wait_until(lambda: served.client.get(f"/v1/jobs/{id}").json()["status"] == "done", "it was not written")


def test_a_deployment_may_allow_addresses_of_its_own(serve: Callable) -> None:
    served = serve(addresses=True)
    done(served.client, image="s3://bucket/key", options={"destination": "s3://other/prefix"})
    assert served.stream.requests[0].destination == "s3://other/prefix"
