"""A broken request still gets a result and a dead letter."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from consumer.delivery.results import RecordBuilder
from consumer.jobs import Decoded, Encoded, Fetched, Findings, Progress, Segmentation, Stored
from consumer.resources.profile_selector import Selection
from cutstream.clients.kafka import OutgoingRecord, Partition, Record
from cutstream.clients.triton import Ensemble
from cutstream.clock import ManualClock
from cutstream.contract.dead_letters import read_dead_letter
from cutstream.contract.messages import SourceRecord, decode_result
from cutstream.contract.redelivery import Redelivery, redelivery_headers
from cutstream.contract.sizes import size_of
from cutstream.errors import InvalidRequest, RequestTooLarge
from cutstream.images import Image, ImageWarning
from cutstream.images.geometry import Box
from cutstream.settings import KafkaSettings
from tests.support.jobs import job_of

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
        (b'{"id": "no/folder", "labels": 7, "replay": -1}', "no/folder", {}, 0),
        (b'{"id": 4711}', "4711", {}, 0),
        (b'{"id": ""}', "requests-1-9", {}, 0),
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


@pytest.mark.parametrize(
    ("value", "image"),
    [
        (b'{"image": "https://shop.example/a.jpg?signature=secret", "nope": 1}', "https://shop.example/a.jpg?…"),
        (b'{"image": "  "}', "  "),
        (b'{"image": 7}', None),
        (b'{"image": ""}', None),
        (b'{"nope": 1}', None),
        (b"{", None),
    ],
)
def test_the_result_of_a_broken_request_names_its_photo_if_that_can_be_read(value, image) -> None:
    result, _ = result_and_letter(value)
    assert result.image == image


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


MIB = 1024 * 1024
MOST_LABELS = {f"{n:02}" + "\u0001" * 98: "\u0001" * 1000 for n in range(64)}
TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def bytes_of(record: OutgoingRecord) -> int:
    return size_of(record.key, record.value or b"", record.headers)


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"k" * MIB, b"{}", []),
        (b"k" * (64 * 1024), json.dumps({"id": "a", "labels": MOST_LABELS}).encode() + b" " * 20 * MIB, []),
        (None, b"{}", [("tenant", b"x" * 16 * MIB)]),
        (b"k", b"{}", [("", b"")] * 200_000),
        (b"k", b"{}", [("\udcff" * MIB, b"")]),
        (b"k", b"{}", [TRACE, ("tracestate", b"s" * MIB)]),
        (b"k", b"{}", [("__cutstream.delivery.topic", b"x" * MIB)]),
    ],
)
def test_result_and_dead_letter_fit_a_topic_however_large_the_request_is(key, value, headers) -> None:
    record, error = Record(Partition("t" * 249, 1), 9, 5, key, value, headers), RequestTooLarge("\x01" * 5000)
    result, letter = (b(record, None, Progress(0.0), error) for b in (RECORDS.failure, RECORDS.dead_letter))
    assert bytes_of(result) < MIB - 1024
    assert decode_result(result.value).error.code == "request_too_large"
    assert bytes_of(letter) < MIB - 1024
    read = read_dead_letter(letter.value, letter.headers)
    assert read.cut_from_bytes == size_of(key, value, headers) > bytes_of(letter)
    assert value.startswith(letter.value)
    assert set(headers) >= set(read.headers)


def warned(*warnings: ImageWarning) -> Progress:
    """Return the progress of a photo that was decoded with these warnings, behind one of its background's."""
    progress = Progress(0.0)
    about_background = ImageWarning("damaged_data", "background: the end marker is missing")
    progress.finish("fetch", Fetched(b"", warnings=(about_background,)), 0.0)
    progress.finish("decode", Decoded(Image(np.zeros((1, 1, 3), np.uint8), warnings=warnings)), 0.0)
    return progress


def stored() -> Stored:
    model = Ensemble("cutout_fast", "1", width=8, height=8, max_batch=1)
    return Stored((), Findings(Box(0, 0, 8, 6), 0.5, Segmentation(Selection("fast"), model, 0.1)))


def test_the_warnings_of_all_stages_are_in_the_result() -> None:
    progress = warned(ImageWarning("first_of_several", "the first of 3 pictures was taken"))
    lost = ImageWarning("unusable_metadata", "no resolution")
    progress.finish("encode", Encoded((), stored().findings, (lost,)), 0.0)
    expected = [
        ("damaged_data", "background: the end marker is missing"),
        ("first_of_several", "the first of 3 pictures was taken"),
        ("unusable_metadata", "no resolution"),
    ]
    result = decode_result(RECORDS.success(job_of(), progress, stored()).value)
    assert [(w.code, w.message) for w in result.warnings] == expected


def test_every_result_of_an_admitted_request_names_its_photo_without_its_signature() -> None:
    job, progress = job_of(image="https://shop.example/a.jpg?signature=secret"), Progress(0.0)
    record = Record(Partition("requests", 1), 9, 5, b"k", b"{}", [])
    for built in (RECORDS.success(job, progress, stored()), RECORDS.failure(record, job, progress, ERROR)):
        assert decode_result(built.value).image == "https://shop.example/a.jpg?…"


def test_a_request_that_fails_after_its_photo_was_decoded_keeps_the_warnings() -> None:
    progress = warned(ImageWarning("missing_profile", "CMYK"))
    record = Record(Partition("requests", 1), 9, 5, b"k", b"{}", [])
    result = decode_result(RECORDS.failure(record, job_of(), progress, ERROR).value)
    assert [w.code for w in result.warnings] == ["damaged_data", "missing_profile"]
    assert decode_result(RECORDS.failure(record, job_of(), Progress(0.0), ERROR).value).warnings == ()


def test_warnings_are_bounded_and_printable_and_each_is_named_once() -> None:
    many = [ImageWarning("unusable_metadata", f"tag {n}: \x1b[2J" + "\U0001f600" * 5000) for n in range(100)]
    record = Record(Partition("t" * 249, 1), 9, 5, b"k" * 64 * 1024, b"{}", [])
    job = dataclasses.replace(job_of(), id="\x01" * 4096, labels=MOST_LABELS)
    answer = RECORDS.failure(record, job, warned(*many, *many), InvalidRequest("\x01" * 5000))
    warnings = decode_result(answer.value).warnings
    assert bytes_of(answer) < MIB - 1024
    assert len(warnings) == len(set(warnings)) == 16
    assert max(len(warning.message) for warning in warnings) == 300
    assert warnings[1].message.startswith(r"tag 0: \u001b[2J")


def test_a_dead_letter_that_fits_is_not_cut() -> None:
    _, letter = result_and_letter(b"x" * 512 * 1024)
    assert (len(letter.value), read_dead_letter(letter.value, letter.headers).cut_from_bytes) == (512 * 1024, 0)


def test_an_error_may_quote_what_is_not_unicode_or_controls_a_terminal() -> None:
    record = Record(Partition("requests", 1), 9, 5, b"k", b"{}", [])
    result = RECORDS.failure(record, job_of(), Progress(0.0), InvalidRequest("no file '\udcff\x1b[2J'"))
    assert decode_result(result.value).error.message == r"no file '\udcff\u001b[2J'"


@pytest.mark.logs_errors
def test_a_record_that_reveals_a_bug_still_has_an_identity(monkeypatch, caplog) -> None:
    monkeypatch.setattr("consumer.intake.identity.salvage", lambda value, headers: {}["bug"])
    result, _ = result_and_letter(b'{"id": "a"}')
    assert result.id == "requests-1-9"
    assert "unexpected error" in caplog.text
