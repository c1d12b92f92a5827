"""Every bad request ends as one failed result and one unchanged dead letter, and harms no other request."""

from __future__ import annotations

import json
import struct
import zlib
from datetime import datetime, timedelta, timezone

import pytest
from kafka import KafkaProducer

from cutstream.contract.dead_letters import read_dead_letter
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from tests.e2e.conftest import DATA
from tests.support.http_server import HttpServer, serving
from tests.support.workers import Results, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]


def huge_png() -> bytes:
    """Return a PNG with a valid header that claims 60 megapixels, and no image data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 10_000, 6_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_poison_among_good(settings, small_photos, folder, tmp_path) -> None:
    astronaut = (DATA / "astronaut.png").read_bytes()
    files = {
        "not-an-image.jpg": b"this is text",
        "truncated.png": astronaut[: len(astronaut) // 2],
        "huge.png": huge_png(),
        "empty.jpg": b"",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    settings = settings.model_copy(
        update={
            "objects": settings.objects.model_copy(update={"allow_private_addresses": True}),
            "limits": settings.limits.model_copy(
                update={"download_timeout_s": 1.0, "source_attempts": 2, "retries": 0, "retry_delay_s": 1.0}
            ),
        }
    )
    with serving(HttpServer()) as server:
        cases: dict[str, tuple[bytes | dict, str]] = {
            "json": (b'{"image": ', "invalid_request"),
            "unknown-field": ({"image": small_photos[0], "imgae": 1}, "invalid_request"),
            "unknown-profile": ({"image": small_photos[0], "profile": "nope"}, "invalid_profile"),
            "missing-file": ({"image": (folder / "missing.jpg").as_uri()}, "failed_image_download"),
            "http-404": ({"image": server.url("status/404")}, "failed_image_download"),
            "http-timeout": ({"image": server.url("never_answers")}, "failed_image_download"),
            "not-an-image": ({"image": (folder / "not-an-image.jpg").as_uri()}, "invalid_file_type"),
            "truncated": ({"image": (folder / "truncated.png").as_uri()}, "failed_to_read_image"),
            "huge": ({"image": (folder / "huge.png").as_uri()}, "resolution_too_high"),
            "empty": ({"image": (folder / "empty.jpg").as_uri()}, "invalid_file_type"),
            "outside-roots": ({"image": "file:///etc/hostname"}, "invalid_image_url"),
            "jpeg-cutout": ({"image": small_photos[0], "format": "jpeg"}, "invalid_option"),
            "unknown-preset": ({"image": small_photos[0], "refine": "nope"}, "invalid_option"),
            "bad-color": ({"image": small_photos[0], "background": {"color": "nope"}}, "invalid_option"),
        }
        sent = {
            name: json.dumps({"id": name, **value}).encode() if isinstance(value, dict) else value
            for name, (value, _) in cases.items()
        }
        good = [{"id": f"good-{n}", "image": small_photos[n % 20]} for n in range(60)]
        mixed: list[dict | bytes] = []
        bad = list(sent.values())
        for number, request in enumerate(good):
            mixed.append(request)
            if number % 4 == 0 and bad:
                mixed.append(bad.pop())
        mixed += bad
        letters_topic = settings.kafka.dead_letters_topic
        with workers(settings, tmp_path) as (worker,), Results(settings.kafka) as results:
            submit(settings.kafka, mixed, [("tenant", b"acme")])
            done = results.wait_for(len(mixed), 120)
            assert worker.process.poll() is None
    by_id = {result.id: result for result in done}
    assert len(done) == len(by_id) == len(mixed)
    assert all(by_id[request["id"]].status == "ok" for request in good)
    unnamed = next(r for r in done if r.id not in sent and not r.id.startswith("good-"))  # the request that is not JSON
    failed = {name: by_id.get(name, unnamed) for name in cases}
    assert {name: (r.status, r.error.code) for name, r in failed.items()} == {
        name: ("failed", code) for name, (_, code) in cases.items()
    }
    assert "imgae" in failed["unknown-field"].error.message
    assert failed["http-timeout"].attempts == 2
    with Results(settings.kafka, letters_topic) as letters:
        while letters.read() < len(cases):
            pass
    codes = {}
    for letter in letters.records:
        headers = dict(letter.headers)
        assert headers["tenant"] == b"acme"
        codes[letter.value] = headers["__cutstream.errors.code"].decode()
    assert codes == {value: cases[name][1] for name, value in sent.items()}


def test_no_request_is_too_large_to_be_answered_and_none_speaks_for_another(settings, small_photos, tmp_path) -> None:
    kafka = settings.kafka
    origin = SourceRecord(topic="others", partition=0, offset=7, timestamp_ms=5)
    forged = redelivery_headers([], Redelivery(origin, replay=3))
    labels = {f"{n:02}" + "x" * 98: "\x01" * 1000 for n in range(64)}
    records = {
        "key": (b"k" * 900_000, b'{"id": "key"}', []),
        "headers": (None, b'{"id": "headers"}', [("tenant", b"x" * 900_000)]),
        "value": (b"k", json.dumps({"id": "value", "labels": labels}).encode() + b" " * 9_000_000, []),
        "forged": (b"k", json.dumps({"id": "forged", "image": small_photos[0]}).encode(), forged),
    }
    with workers(settings, tmp_path) as (worker,), Results(kafka) as results:
        sender = KafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, compression_type="gzip", max_request_size=2**24
        )
        for key, value, headers in records.values():
            sender.send(kafka.requests_topic, key=key, value=value, headers=headers).get(30)
        sender.close()
        done = {result.id: result for result in results.wait_for(len(records), 60)}
        assert worker.process.poll() is None
    codes = {id: result.error.code if result.error else "" for id, result in done.items()}
    assert codes == dict.fromkeys(("key", "headers", "value"), "request_too_large") | {"forged": ""}
    assert (done["forged"].source.topic, done["forged"].replay) == (kafka.requests_topic, 0)
    assert done["value"].labels == labels
    with Results(kafka, kafka.dead_letters_topic) as letters:
        while letters.read() < 3:
            pass
    kept = {letter.id: letter for letter in (read_dead_letter(r.value, r.headers) for r in letters.records)}
    assert kept["value"].cut_from_bytes == len(records["value"][1]) + 1
    assert records["value"][1].startswith(kept["value"].value)


def test_private_addresses_are_refused(settings, small_photos, tmp_path) -> None:
    addresses = [
        "http://127.0.0.1:1/a.jpg",
        "http://[::ffff:127.0.0.1]/a.jpg",
        "http://100.64.0.1/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "ftp://example.org/a.jpg",
        "/etc/hostname",
    ]
    with workers(settings, tmp_path), Results(settings.kafka) as results:
        submit(settings.kafka, [{"image": address} for address in addresses])
        done = results.wait_for(len(addresses), 60)
    assert {result.error.code for result in done} == {"invalid_image_url"}
    assert not any(result.error.retryable for result in done)


def test_a_request_that_is_read_too_late_costs_no_download(settings, small_photos, folder, tmp_path) -> None:
    """Some deadlines passed long ago, and some pass while the window is full and the rest waits in Kafka."""
    objects = settings.objects.model_copy(update={"allow_private_addresses": True})
    settings = settings.model_copy(update={"objects": objects})
    with serving(HttpServer()) as server, workers(settings, tmp_path), Results(settings.kafka) as results:
        server.files["photo"] = (folder / "small-0.jpg").read_bytes()
        soon = datetime.now(timezone.utc) + timedelta(seconds=2)
        deadlines = [*["2020-01-01T00:00:00Z"] * 20, *[soon.isoformat()] * 300, *[None] * 20]
        submit(settings.kafka, [{"image": server.url("files/photo"), "deadline": deadline} for deadline in deadlines])
        done = results.wait_for(len(deadlines), 120)
        downloads = len(server.seen)
    assert {result.status for result in done} == {"ok", "expired"}
    early = [result for result in done if result.status == "expired" and result.error.stage == "fetch"]
    assert len(early) >= 20
    assert all((result.error.code, result.objects) == ("expired", ()) for result in early)
    assert downloads == len(done) - len(early)
