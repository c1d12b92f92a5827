"""A broken request still gets a result and a dead letter."""

from __future__ import annotations

import pytest

from consumer.delivery.results import RecordBuilder
from consumer.jobs import Progress
from cutstream.clients.kafka import Partition, Record
from cutstream.clock import ManualClock
from cutstream.contract.messages import SourceRecord, decode_result
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.errors import InvalidRequest
from cutstream.settings import KafkaSettings

ERROR = InvalidRequest("broken")
RECORDS = RecordBuilder(KafkaSettings(), ManualClock())


def result_and_letter(value: bytes, headers=()):
    record = Record(Partition("requests", 1), 9, 5, b"k", value, list(headers))
    progress = Progress(started_s=0.0)
    result, letter = (build(record, None, progress, ERROR) for build in (RECORDS.failure, RECORDS.dead_letter))
    return decode_result(result.value), letter


@pytest.mark.parametrize(
    ("value", "id", "labels", "replay"),
    [
        (b'{"id": "a", "labels": {"shop": "1"}, "replay": 3, "nope": 1}', "a", {"shop": "1"}, 3),
        (b'{"id": "no/folder", "labels": 7, "replay": -1}', "requests-1-9", {}, 0),
        (b'{"id": "a"', "requests-1-9", {}, 0),
        (b"\xff\xfe", "requests-1-9", {}, 0),
        (b"", "requests-1-9", {}, 0),
    ],
)
def test_the_result_of_a_broken_request_has_the_fields_that_can_be_read(value, id, labels, replay) -> None:
    result, letter = result_and_letter(value)
    assert (result.id, result.labels, result.replay, result.status) == (id, labels, replay, "failed")
    assert (letter.value, letter.key) == (value, b"k")
    assert dict(letter.headers)["__cutstream.errors.request-id"] == id.encode()


def test_a_broken_request_in_a_cloudevent_has_the_id_of_the_event() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"event-1"), ("ce_source", b"/"), ("ce_type", b"t")]
    result, letter = result_and_letter(b"{", headers)
    assert result.id == "event-1"
    assert letter.headers[:4] == headers


def test_without_a_job_the_error_has_the_stage_request() -> None:
    result, _ = result_and_letter(b"{")
    assert (result.error.stage, result.error.code, result.attempts) == ("request", "invalid_request", 1)
    assert (result.profile, result.model, result.timings_ms) == (None, None, {})


def test_a_broken_replay_names_its_origin_and_its_replay() -> None:
    origin = SourceRecord(topic="requests", partition=4, offset=2, timestamp_ms=8)
    headers = redelivery_headers([("tenant", b"a")], Redelivery(origin, replay=2))
    result, letter = result_and_letter(b'{"replay": 1, "nope": 1}', headers)
    assert (result.id, result.source, result.replay) == ("requests-4-2", origin, 3)
    assert dict(letter.headers)["__cutstream.errors.offset"] == b"2"
    result, letter = result_and_letter(b"{", [("__cutstream.delivery.offset", b"x")])
    assert (result.id, result.replay) == ("requests-1-9", 0)
