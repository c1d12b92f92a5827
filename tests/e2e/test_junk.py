"""Whoever may write to a topic may write anything: it ends no worker and no command, and reaches no terminal raw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata

import pytest

from cutstream.clients.kafka import OutgoingRecord, RecordWriter
from cutstream.contract.dead_letters import Mark, mark_headers
from cutstream.contract.messages import SourceRecord
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.settings import Settings, as_environment
from tests.support.group import wait_until
from tests.support.workers import Results, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj\u2066\x08\r\x7f"
ORIGIN = SourceRecord(topic=ESCAPES, partition=0, offset=0, timestamp_ms=-1)

BACKGROUND = {"uri": ESCAPES, "sha256": "0" * 64, "bytes": 1, "width": 1, "height": 1, "added": "2030-01-01T00:00:00Z"}
VALUES = [
    b"",
    b"{}",
    b"null",
    b"[" * 100_000,
    b'{"id": ' + b"9" * 5000 + b"}",
    b"\xff\xfe\x00\x1b]0;owned\x07",
    json.dumps({"id": ESCAPES, "image": ESCAPES, "profile": ESCAPES, "labels": {ESCAPES: ESCAPES}}).encode(),
    json.dumps({"id": "x", "image": f"https://{ESCAPES}/", "refine": ESCAPES}, ensure_ascii=False).encode(),
    json.dumps({"id": "x", "image": "s3://a/b", "profile": ESCAPES, "labels": {"a": ESCAPES}}).encode(),
    json.dumps({"id": "x", "image": "s3://a/b", "refine": "../../etc/passwd", "deadline": "9999-12-31"}).encode(),
    json.dumps({"id": ESCAPES, "cancelled": ESCAPES, "expires": ESCAPES, "labels": {ESCAPES: ESCAPES}}).encode(),
    json.dumps({"uri": ESCAPES, "sha256": "0" * 64, "bytes": 1, "width": 1, "height": 1, "added": ESCAPES}).encode(),
    json.dumps(
        {"uri": ESCAPES, "sha256": "0" * 64, "bytes": 1, "width": 1, "height": 1, "added": "2030-01-01T00:00:00Z"}
    ).encode(),
]
KEYS = [None, b"", b"\xff", ESCAPES.encode(), b"beach", b"id:x", b"k" * 10_000]
HEADERS = [
    [],
    [("h\udcff" + ESCAPES, b"\xff" + ESCAPES.encode())],
    [("traceparent", b"\xff"), ("content-type", ESCAPES.encode()), ("ce_id", b"\xff"), ("ce_specversion", b"1.0")],
    redelivery_headers([], Redelivery(ORIGIN, replay=3)),
    redelivery_headers([], Redelivery(ORIGIN, attempts=10**6, untried=10**6, not_before_ms=0)),
    mark_headers(Mark("purged", 0, ESCAPES, 1)),
    [("__cutstream.errors.code", ESCAPES.encode()), ("__cutstream.errors.message", b"\xff")],
    [("__cutstream.errors.code", ESCAPES.encode()), ("__cutstream.errors.message", ESCAPES.encode())],
]


def write_junk(settings: Settings, topic: str) -> int:
    """Write every value once, with keys and headers in turn, and every list of headers with one value."""
    compacted = topic in (settings.kafka.cancellations_topic, settings.kafka.backgrounds_topic)
    keys = KEYS[1:] if compacted else KEYS  # the broker takes no record without a key there
    records = [
        OutgoingRecord(topic, keys[n % len(keys)], value, list(headers))
        for n, (value, headers) in enumerate((value, headers) for value in VALUES for headers in HEADERS)
    ]
    writer = RecordWriter(settings.kafka)
    writer.start()
    try:
        writer.write(records)
    finally:
        writer.close()
    return len(records)


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "commands", *arguments],
        env={**os.environ, **as_environment(settings), "FORCE_COLOR": ""},
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def unsafe(text: str) -> set[str]:
    controls = {c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")} - {"\n", "\t"}
    return controls | {c for c in text if unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRE", "LRI", "RLI")}


def test_junk_in_every_topic_ends_no_worker_and_no_command(settings, small_photos, tmp_path) -> None:
    kafka = settings.kafka
    others = (kafka.cancellations_topic, kafka.backgrounds_topic, kafka.results_topic, kafka.dead_letters_topic)
    for topic in others:
        write_junk(settings, topic)
    with workers(settings, tmp_path) as (worker,), Results(kafka) as results:
        results.read_to_the_end()
        before = results.read()
        junk = sum(
            write_junk(settings, topic) for topic in (kafka.requests_topic, kafka.urgent_topic, kafka.retry_topic)
        )
        submit(kafka, [{"id": f"good-{n}", "image": small_photos[n]} for n in range(10)])
        wait_until(lambda: results.read() >= before + junk + 10, "requests have no result")
        assert worker.process.poll() is None
        assert worker.get("/readyz")[0] == 200
    log = worker.log.read_text(errors="surrogateescape")
    assert not unsafe(log), unsafe(log)
    good = [json.loads(r.value) for r in results.records[before:] if b'"good-' in r.value]
    assert [result["status"] for result in good] == ["ok"] * 10

    for arguments in (
        ("results",),
        ("dead-letters", "list"),
        ("dead-letters", "list", "--all", "--json"),
        ("dead-letters", "show", "x"),
        ("dead-letters", "replay"),  # asks, and gets no answer
        ("dead-letters", "purge"),
        ("dead-letters", "replay", "--yes"),
        ("backgrounds", "list"),
        ("backgrounds", "remove", "beach"),
        ("cancel", "list"),
    ):
        done = run(settings, *arguments)
        shown = (done.stdout + done.stderr).decode()
        assert not unsafe(shown), (arguments, unsafe(shown))
        assert "Traceback" not in shown, (arguments, shown[-3000:])
        assert done.returncode == 0 or arguments in (("dead-letters", "replay"), ("dead-letters", "purge")), shown


def test_requests_that_name_nothing_stop_no_worker_and_no_successor_reads_them_again(settings, tmp_path) -> None:
    """There are more of them than failures of the deployment would halt a worker."""
    kafka, folders = settings.kafka, (tmp_path / "first", tmp_path / "successor")
    total = 0
    for folder, count in zip(folders, (300, 1), strict=True):
        folder.mkdir()
        total += count
        with workers(settings, folder) as (worker,), Results(kafka) as results:
            submit(kafka, [b"{}"] * count)
            done = results.wait_for(total, 60)
            assert {(result.status, result.error.code) for result in done} == {("failed", "invalid_request")}
            assert len({result.id for result in done}) == len(done) == total
            assert worker.get("/readyz")[0] == 200
