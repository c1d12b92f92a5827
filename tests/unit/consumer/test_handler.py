"""One record in, its one outcome out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from consumer.delivery.offsets import TrackedOffset
from consumer.delivery.outcomes import Abandoned, Crashed, Outcome, TrackedRecord
from consumer.delivery.results import RecordBuilder
from consumer.handler import RequestHandler
from consumer.jobs import Findings, Job, Progress, Segmentation, Stored
from consumer.resources.profile_selector import Selection
from consumer.runner import WorkerStopping
from cutstream.clients.kafka import Partition, Record
from cutstream.clients.triton import Ensemble
from cutstream.clock import ManualClock
from cutstream.contract.messages import StoredObject, decode_result
from cutstream.errors import Expired, InvalidRequest, ModelMismatch, SourceFailed, UnreadableImage
from cutstream.images.geometry import Box
from cutstream.settings import KafkaSettings
from tests.support.jobs import job_of

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS = [("tenant", b"acme"), ("traceparent", TRACE), ("tenant", b"\xff\x00")]
RECORD = Record(
    Partition("requests", 3), 7, 1_700_000_000_000, b"key", b'{"image": "s3://a/b.jpg", "id": "a"}', HEADERS
)
TASK = TrackedRecord(TrackedOffset(RECORD.partition, RECORD.offset, 1), RECORD)
STORED = Stored(
    objects=(
        StoredObject(
            output="cutout", uri="file:///o/a.png", bytes=3, sha256="0" * 64, width=2, height=1, media_type="image/png"
        ),
    ),
    findings=Findings(
        Box(0, 0, 1, 1),
        0.5,
        Segmentation(Selection("general"), Ensemble("cutout_general", "1", 320, 320, 8, "ab12"), 0.1),
    ),
)


class Carrier:
    """Returns or raises `outcome`, in the named stage."""

    def __init__(self, outcome, stage: str = "decode") -> None:
        self.outcome = outcome
        self.stage = stage

    def carry(self, job: Job, progress: Progress):
        progress.stage = self.stage
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def admit(record: Record) -> Job:
    job = job_of(profile="general", image="s3://a/b.jpg", id="a", labels={"shop": "1"}, replay=2)
    return replace(job, record=record, trace=(("traceparent", TRACE),))


def handle(outcome, admission=admit) -> Outcome:
    clock = ManualClock()
    settings = KafkaSettings(results_topic="results", dead_letters_topic="letters")
    return RequestHandler(admission, Carrier(outcome), RecordBuilder(settings, clock), clock)(TASK)


def test_a_success_is_one_result_with_the_requests_key() -> None:
    handled = handle(STORED)
    (record,) = handled.records
    result = decode_result(record.value)
    assert (handled.status, handled.code, handled.tracked) == ("ok", "", TASK.tracked)
    assert (record.topic, record.key) == ("results", b"key")
    assert (result.status, result.objects, result.error) == ("ok", STORED.objects, None)
    assert (result.model.digest, result.labels, result.replay) == ("ab12", {"shop": "1"}, 2)
    assert (result.source.topic, result.source.partition, result.source.offset) == ("requests", 3, 7)


def test_a_failure_is_a_result_and_a_dead_letter() -> None:
    handled = handle(UnreadableImage("truncated"))
    result_record, letter = handled.records
    result = decode_result(result_record.value)
    assert (handled.status, handled.code) == ("failed", "failed_to_read_image")
    assert (result.status, result.error.stage, result.error.message) == ("failed", "decode", "truncated")
    assert (result_record.topic, letter.topic) == ("results", "letters")


def test_a_dead_letter_is_the_untouched_original_with_its_headers_first() -> None:
    handled = handle(UnreadableImage("truncated"))
    letter = handled.records[1]
    assert (letter.key, letter.value) == (RECORD.key, RECORD.value)
    assert letter.headers[: len(HEADERS)] == HEADERS
    reasons = dict(letter.headers[len(HEADERS) :])
    assert all(name.startswith("__cutstream.errors.") for name in reasons)
    assert reasons["__cutstream.errors.topic"] == b"requests"
    assert reasons["__cutstream.errors.partition"] == b"3"
    assert reasons["__cutstream.errors.offset"] == b"7"
    assert reasons["__cutstream.errors.request-id"] == b"a"
    assert reasons["__cutstream.errors.stage"] == b"decode"
    assert reasons["__cutstream.errors.exception.class.name"] == b"cutstream.errors.UnreadableImage"


def test_a_request_that_cannot_be_opened_is_answered_with_what_can_be_salvaged() -> None:
    def refuse(record: Record) -> Job:
        raise InvalidRequest("unknown field `imgae`")

    handled = handle(STORED, refuse)
    result = decode_result(handled.records[0].value)
    assert (result.id, result.status, result.profile) == ("a", "failed", None)
    assert (result.error.code, result.error.stage) == ("invalid_request", "request")
    assert dict(handled.records[0].headers)["traceparent"] == TRACE
    assert handled.records[1].value == RECORD.value


def test_a_source_that_was_away_may_be_asked_for_again() -> None:
    handled = handle(SourceFailed("503 (3 attempts)", retryable=True))
    assert decode_result(handled.records[0].value).error.retryable is True


def test_an_expired_request_has_a_result_and_no_dead_letter() -> None:
    handled = handle(Expired("the deadline passed"))
    (record,) = handled.records
    assert decode_result(record.value).status == handled.status == "expired"


@pytest.mark.parametrize("error", [ModelMismatch("tensors"), MemoryError(), KeyboardInterrupt()])
def test_what_is_not_the_requests_fault_is_published_nowhere(error: BaseException) -> None:
    handled = handle(error)
    assert isinstance(handled, Crashed)
    assert handled.error is error


def test_an_abandoned_request_is_left_to_the_next_worker() -> None:
    handled = handle(WorkerStopping("the worker is stopping"))
    assert handled == Abandoned(TASK.tracked)


def test_times_are_those_of_the_record_and_of_the_start() -> None:
    handled = handle(STORED)
    assert (handled.started_s, handled.timestamp_ms) == (ManualClock().monotonic(), RECORD.timestamp_ms)
    headers = dict(handled.records[0].headers)
    written = datetime.fromisoformat(headers["ce_time"].decode())
    assert written == datetime.fromtimestamp(ManualClock().wall(), timezone.utc)
