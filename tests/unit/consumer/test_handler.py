"""The handler turns each record into exactly one outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from functools import partial

import pytest

from consumer.delivery.doubts import MANY_PLACES, Doubts
from consumer.delivery.failure_limit import FailureLimit
from consumer.delivery.offsets import TrackedOffset
from consumer.delivery.outcomes import Abandoned, Answered, Crashed, Outcome, Postponed, TrackedRecord
from consumer.delivery.results import RecordBuilder
from consumer.delivery.retries import RetryPolicy
from consumer.handler import RequestHandler
from consumer.intake.admission import admit as admit_record
from consumer.jobs import Findings, Job, Progress, Segmentation, Stored, delivery_of, first_delivery
from consumer.resources.profile_selector import Selection
from consumer.resources.untried import UntriedBackground, UntriedSource
from consumer.runner import WorkerStopping
from cutstream.clients.kafka import Partition, Record
from cutstream.clients.triton import Ensemble
from cutstream.clock import ManualClock
from cutstream.contract.messages import StoredObject, decode_result
from cutstream.contract.redelivery import Redelivery, read_redelivery, redelivery_headers, without_redelivery
from cutstream.errors import (
    AddressNotAllowed,
    BackgroundUnavailable,
    Cancelled,
    CutstreamError,
    DestinationUnavailable,
    Expired,
    InvalidRequest,
    ModelMismatch,
    RefusedDestination,
    SourceFailed,
    SourceUnavailable,
    TakesLong,
    UnreadableImage,
)
from cutstream.images.geometry import Box
from cutstream.settings import KafkaSettings, LimitSettings, ModelSettings
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


class StubRunner:
    """Returns or raises `result` in the named stage."""

    def __init__(self, result, stage: str = "decode") -> None:
        self.result = result
        self.stage = stage

    def carry(self, job: Job, progress: Progress):
        progress.stage = self.stage
        if self.stage != "fetch":
            progress.finish("fetch", None, 0.0)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def admit(record: Record) -> Job:
    job = job_of(profile="general", image="s3://a/b.jpg", id="a", labels={"shop": "1"}, replay=2)
    delivery = delivery_of(record)
    return replace(
        job,
        record=record,
        origin=delivery.origin,
        attempts=delivery.attempts,
        untried=delivery.untried,
        trace=(("traceparent", TRACE),),
    )


def handle(
    result,
    admission=admit,
    record=RECORD,
    doubts: Doubts | None = None,
    stage: str = "decode",
    check=lambda job: None,
    on_end=lambda *_: None,
    on_failed=lambda *_: None,
) -> Outcome:
    clock = ManualClock()
    settings = KafkaSettings(results_topic="results", dead_letters_topic="letters", retry_topic="retry")
    limits = LimitSettings(source_attempts=2, retries=3, retry_delay_s=60, outage_retries=10)
    runner, records = StubRunner(result, stage), RecordBuilder(settings, clock)
    handler = RequestHandler(
        admission,
        runner,
        records,
        RetryPolicy(limits, clock),
        clock,
        doubts or Doubts(3),
        check=check,
        on_end=on_end,
        on_failed=on_failed,
    )
    return handler(TrackedRecord(TASK.tracked, record))


def test_a_success_is_one_result_with_the_key_of_the_request() -> None:
    outcome = handle(STORED)
    (record,) = outcome.records
    result = decode_result(record.value)
    assert (outcome.status, outcome.code, outcome.tracked) == ("ok", "", TASK.tracked)
    assert (record.topic, record.key) == ("results", b"key")
    assert (result.status, result.objects, result.error) == ("ok", STORED.objects, None)
    assert (result.model.digest, result.labels, result.replay) == ("ab12", {"shop": "1"}, 2)
    assert (result.source.topic, result.source.partition, result.source.offset) == ("requests", 3, 7)


def test_a_failure_and_no_other_end_is_told_to_who_shows_it() -> None:
    told: list[tuple[str, str, str]] = []
    for end in (STORED, UnreadableImage("truncated"), Expired("late")):
        handle(end, on_failed=lambda id, stage, error: told.append((id, stage, str(error))))
    assert told == [("a", "decode", "truncated")]


def test_a_failure_is_a_result_and_a_dead_letter() -> None:
    outcome = handle(UnreadableImage("truncated"))
    result_record, letter = outcome.records
    result = decode_result(result_record.value)
    assert (outcome.status, outcome.code) == ("failed", "failed_to_read_image")
    assert (result.status, result.error.stage, result.error.message) == ("failed", "decode", "truncated")
    assert (result_record.topic, letter.topic) == ("results", "letters")


def test_an_outcome_says_what_its_metrics_need() -> None:
    deadline = datetime.fromtimestamp(1_700_000_060, timezone.utc)

    def urgent(record: Record) -> Job:
        job = admit(record)
        return replace(job, profile="auto", recipe=replace(job.recipe, deadline=deadline))

    outcome = handle(UnreadableImage("truncated"), urgent)
    assert (outcome.profile, outcome.deadline_s) == ("auto", 1_700_000_060)
    assert outcome.exemplar == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    assert handle(STORED, lambda record: replace(admit(record), trace=())).exemplar is None


def test_a_request_that_cannot_be_read_has_no_profile() -> None:
    def refuse(record: Record) -> Job:
        raise InvalidRequest("unknown field `imgae`")

    unread = handle(STORED, refuse)
    assert (unread.profile, unread.deadline_s, unread.exemplar) == ("", None, None)


def test_a_dead_letter_is_the_unchanged_record_with_its_headers_first() -> None:
    outcome = handle(UnreadableImage("truncated"))
    letter = outcome.records[1]
    assert (letter.key, letter.value) == (RECORD.key, RECORD.value)
    assert letter.headers[: len(HEADERS)] == HEADERS
    error_headers = dict(letter.headers[len(HEADERS) :])
    assert all(name.startswith("__cutstream.errors.") for name in error_headers)
    assert error_headers["__cutstream.errors.topic"] == b"requests"
    assert error_headers["__cutstream.errors.partition"] == b"3"
    assert error_headers["__cutstream.errors.offset"] == b"7"
    assert error_headers["__cutstream.errors.request-id"] == b"a"
    assert error_headers["__cutstream.errors.stage"] == b"decode"
    assert error_headers["__cutstream.errors.exception.class.name"] == b"cutstream.errors.UnreadableImage"


def test_a_refused_request_is_answered_with_the_fields_that_can_be_read() -> None:
    def refuse(record: Record) -> Job:
        raise InvalidRequest("unknown field `imgae`")

    outcome = handle(STORED, refuse)
    result = decode_result(outcome.records[0].value)
    assert (result.id, result.status, result.profile) == ("a", "failed", None)
    assert (result.error.code, result.error.stage) == ("invalid_request", "request")
    assert dict(outcome.records[0].headers)["traceparent"] == TRACE
    assert outcome.records[1].value == RECORD.value


def test_the_error_of_an_unavailable_source_is_retryable() -> None:
    outcome = handle(SourceFailed("503 (3 attempts)", retryable=True))
    assert decode_result(outcome.records[0].value).error.retryable is True


def retried(attempts: int, replay: int = 0, untried: int = 0) -> Record:
    """Return RECORD as it lies on the retry topic after this many attempts."""
    delivery = Redelivery(first_delivery(RECORD).origin, attempts, not_before_ms=5, replay=replay, untried=untried)
    return replace(
        RECORD,
        partition=Partition("retry", 1),
        offset=99,
        timestamp_ms=RECORD.timestamp_ms + 90_000,
        headers=redelivery_headers(HEADERS, delivery),
    )


@pytest.mark.parametrize("error", [SourceUnavailable("503"), BackgroundUnavailable("503")])
def test_a_request_whose_source_is_away_moves_unchanged_to_the_retry_topic(error) -> None:
    outcome = handle(error)
    assert isinstance(outcome, Postponed)
    (record,) = outcome.records
    assert (outcome.tracked, outcome.code) == (TASK.tracked, error.code)
    assert (record.topic, record.key, record.value) == ("retry", RECORD.key, RECORD.value)
    assert without_redelivery(record.headers) == HEADERS
    due_ms = round((ManualClock().wall() + 60) * 1000)
    assert read_redelivery(record.headers) == Redelivery(first_delivery(RECORD).origin, 1, due_ms)


def test_a_postponed_request_keeps_its_origin_its_attempts_and_its_replay() -> None:
    (record,) = handle(SourceUnavailable("503"), record=retried(attempts=3, replay=1)).records
    delivery = read_redelivery(record.headers)
    assert delivery == Redelivery(first_delivery(RECORD).origin, 4, delivery.not_before_ms, replay=1)
    assert without_redelivery(record.headers) == HEADERS


def test_the_last_attempt_ends_in_a_failure_and_a_dead_letter_that_name_the_origin() -> None:
    outcome = handle(SourceUnavailable("503"), record=retried(attempts=4))
    result_record, letter = outcome.records
    result = decode_result(result_record.value)
    assert (result.status, result.attempts, result.error.message) == ("failed", 5, "503 (5 attempts)")
    assert (result.error.code, result.error.retryable) == ("failed_image_download", True)
    assert result.source == first_delivery(RECORD).origin
    assert dict(letter.headers)["__cutstream.errors.topic"] == b"requests"
    assert outcome.timestamp_ms == RECORD.timestamp_ms


def test_a_success_from_the_retry_topic_counts_all_attempts_and_names_the_origin() -> None:
    outcome = handle(STORED, record=retried(attempts=3))
    result = decode_result(outcome.records[0].value)
    assert (result.status, result.attempts) == ("ok", 4)
    assert result.source == first_delivery(RECORD).origin
    assert outcome.timestamp_ms == RECORD.timestamp_ms


def from_host(host: str):
    """Return an admission whose photo is on this host."""

    def admission(record: Record) -> Job:
        job = admit(record)
        return replace(job, recipe=replace(job.recipe, image=f"https://{host}.example/a.jpg"))

    return admission


AWAY = SourceUnavailable("cannot connect")


def in_doubt_of_the_network() -> Doubts:
    doubts = Doubts(3)
    for number in range(MANY_PLACES):
        handle(AWAY, from_host(f"dead-{number}"), doubts=doubts, stage="fetch")
    return doubts


def test_while_no_host_answers_no_request_fails_for_it() -> None:
    doubts = in_doubt_of_the_network()
    spent = retried(attempts=5)
    assert isinstance(handle(AWAY, from_host("dead-1"), spent, doubts, "fetch"), Postponed)
    not_tried = UntriedSource("silent", "silent", tried_by_another=True)
    assert isinstance(handle(not_tried, from_host("dead-2"), spent, doubts, "fetch"), Postponed)
    assert handle(STORED, from_host("alive"), doubts=doubts).status == "ok"
    last = handle(AWAY, from_host("dead-1"), retried(attempts=4), doubts, "fetch")
    assert (last.status, last.code) == ("failed", "failed_image_download")  # the doubt is over


def history(outcome: Outcome) -> tuple[int, int]:
    """Return the attempts and the deliveries without one that a postponed request has behind it."""
    assert isinstance(outcome, Postponed)
    delivery = read_redelivery(outcome.records[0].headers)
    assert delivery is not None
    return delivery.attempts, delivery.untried


def test_a_request_that_was_not_tried_has_used_up_no_attempt() -> None:
    assert history(handle(UntriedSource("crowded", "crowded"), stage="fetch")) == (0, 1)
    assert history(handle(UntriedSource("silent", "silent"), record=retried(4), stage="fetch")) == (4, 1)


def test_it_has_if_another_tried_its_host_meanwhile() -> None:
    not_tried = UntriedSource("https://dead has not answered", "silent", "https://dead", tried_by_another=True)
    assert history(handle(not_tried, record=retried(3), stage="fetch")) == (4, 0)
    outcome = handle(not_tried, record=retried(4), stage="fetch")
    assert isinstance(outcome, Answered)
    result = decode_result(outcome.records[0].value)
    assert (result.attempts, result.error.code, result.error.retryable) == (5, "failed_image_download", True)


def test_a_request_that_is_never_tried_ends_all_the_same() -> None:
    outcome = handle(UntriedSource("crowded", "crowded"), record=retried(1, untried=13), stage="fetch")
    assert isinstance(outcome, Answered)
    assert decode_result(outcome.records[0].value).error.retryable is True


def test_a_background_that_was_not_tried_is_named_as_one() -> None:
    not_tried = UntriedBackground("background: https://dead", "silent", "https://dead", tried_by_another=True)
    outcome = handle(not_tried, record=retried(4), stage="fetch")
    assert isinstance(outcome, Answered)
    assert outcome.code == "failed_bg_download"


def test_a_destination_that_is_away_is_treated_as_a_source_that_is() -> None:
    away = DestinationUnavailable("destination: timed out")
    assert history(handle(away, stage="store")) == (1, 0)
    last = handle(away, record=retried(attempts=4), stage="store")
    assert isinstance(last, Answered)
    result = decode_result(last.records[0].value)
    assert (result.status, result.attempts) == ("failed", 5)
    assert (result.error.code, result.error.retryable) == ("destination_unavailable", True)
    assert len(last.records) == 2, "no dead letter"
    assert last.suspicion is None, "strangers could halt the worker"


def test_while_our_own_store_may_be_away_no_request_fails_that_names_it() -> None:
    away = DestinationUnavailable("destination: timed out", is_ours=True)
    assert isinstance(handle(away, record=retried(attempts=5), stage="store"), Postponed)
    assert isinstance(handle(away, record=retried(attempts=14), stage="store"), Answered)


def test_hundreds_of_dead_hosts_and_nothing_else_neither_stop_the_worker_nor_empty_the_topic() -> None:
    doubts, limit = Doubts(3), FailureLimit(3)

    def deliver(attempts: int) -> list[Outcome]:
        record = retried(attempts) if attempts else RECORD
        outcomes = [handle(AWAY, from_host(f"dead-{n}"), record, doubts, "fetch") for n in range(250)]
        for outcome in outcomes:
            if isinstance(outcome, Answered):
                limit.note(outcome)
        return outcomes

    for attempts in range(14):
        assert all(isinstance(outcome, Postponed) for outcome in deliver(attempts))
    assert handle(STORED, from_host("alive"), doubts=doubts).status == "ok"
    ended = deliver(4)
    failed = [outcome for outcome in ended if isinstance(outcome, Answered)]
    assert len(failed) == MANY_PLACES - 1  # then the network is in doubt again
    assert {outcome.code for outcome in failed} == {"failed_image_download"}
    assert limit.reached is None


def test_doubt_does_not_last_for_ever() -> None:
    last = handle(AWAY, from_host("dead-1"), retried(attempts=14), in_doubt_of_the_network(), "fetch")
    assert decode_result(last.records[0].value).error.retryable is True


def test_a_photo_that_came_proves_the_network_whatever_becomes_of_it() -> None:
    doubts = in_doubt_of_the_network()
    handle(UnreadableImage("truncated"), from_host("alive"), doubts=doubts)
    assert handle(AWAY, from_host("dead-1"), retried(attempts=4), doubts, "fetch").status == "failed"


def test_a_host_that_says_not_yet_proves_it_too() -> None:
    doubts = in_doubt_of_the_network()
    handle(SourceUnavailable("503", answered=True), from_host("busy"), doubts=doubts, stage="fetch")
    assert handle(AWAY, from_host("dead-1"), retried(attempts=4), doubts, "fetch").status == "failed"


def test_a_bucket_that_answers_says_nothing_about_hosts() -> None:
    doubts = in_doubt_of_the_network()
    assert handle(STORED, doubts=doubts).status == "ok"
    assert isinstance(handle(AWAY, from_host("dead-1"), retried(attempts=4), doubts, "fetch"), Postponed)


def refused(doubts: Doubts, name: str, stage: str = "fetch", attempts: int = 0) -> Outcome:
    error = AddressNotAllowed("CUTSTREAM_OBJECTS__ALLOWED_HOSTS does not list it")
    return handle(error, from_host(name), retried(attempts) if attempts else RECORD, doubts, stage)


def test_what_the_settings_refuse_is_held_back_once_it_is_much_until_the_first_success() -> None:
    doubts = Doubts(3)
    assert [refused(doubts, name).status for name in ("a", "a", "b", "c")] == ["failed"] * 4
    assert isinstance(refused(doubts, "d"), Postponed)
    assert refused(doubts, "d", stage="store").status == "failed"  # never after work that would be done again
    assert refused(doubts, "d", attempts=14).code == "invalid_image_url"  # after the last attempt
    assert handle(STORED, doubts=doubts).status == "ok"
    assert {refused(doubts, f"{number}").status for number in range(9)} == {"failed"}


@pytest.mark.parametrize(("seconds", "expires"), [(60, True), (61, False)])
def test_a_request_that_would_be_due_after_its_deadline_expires_at_once(seconds: float, expires: bool) -> None:
    deadline = datetime.fromtimestamp(ManualClock().wall() + seconds, timezone.utc)

    def admit_with_deadline(record: Record) -> Job:
        job = admit(record)
        return replace(job, recipe=replace(job.recipe, deadline=deadline))

    outcome = handle(SourceUnavailable("503"), admit_with_deadline)
    if not expires:
        assert isinstance(outcome, Postponed)
        return
    (record,) = outcome.records
    result = decode_result(record.value)
    assert result.status == "expired"
    assert "503 (1 attempts); the next attempt would be after the deadline" in result.error.message
    assert result.error.cause == "failed_image_download"


@pytest.mark.parametrize(("error", "status"), [(Expired("late"), "expired"), (Cancelled("called off"), "cancelled")])
def test_an_expired_or_cancelled_request_has_a_result_and_no_dead_letter(error: CutstreamError, status: str) -> None:
    outcome = handle(error)
    (record,) = outcome.records
    assert decode_result(record.value).status == outcome.status == outcome.code == status


def test_a_broken_request_that_was_called_off_is_cancelled() -> None:
    def refuse(record: Record) -> None:
        raise Cancelled("called off")

    (record,) = handle(STORED, partial(admit_record, models=ModelSettings(), refuse=refuse)).records
    assert decode_result(record.value).status == "cancelled"


@pytest.mark.logs_errors
def test_a_record_that_reveals_a_bug_in_admission_fails_alone() -> None:
    def admission(record: Record) -> Job:
        raise AttributeError("no such field")

    result, letter = handle(STORED, admission).records
    assert decode_result(result.value).error.code == "unexpected"
    assert letter.value == RECORD.value


@pytest.mark.parametrize("error", [ModelMismatch("tensors"), MemoryError(), KeyboardInterrupt()])
def test_an_error_that_the_request_did_not_cause_is_not_published(error: BaseException) -> None:
    outcome = handle(error)
    assert isinstance(outcome, Crashed)
    assert outcome.error is error


def test_an_abandoned_request_is_left_to_the_next_worker() -> None:
    outcome = handle(WorkerStopping("the worker is stopping"))
    assert outcome == Abandoned(TASK.tracked)


def test_an_outcome_has_its_start_and_the_timestamp_of_the_record() -> None:
    outcome = handle(STORED)
    assert (outcome.started_s, outcome.timestamp_ms) == (ManualClock().monotonic(), RECORD.timestamp_ms)
    headers = dict(outcome.records[0].headers)
    event_time = datetime.fromisoformat(headers["ce_time"].decode())
    assert event_time == datetime.fromtimestamp(ManualClock().wall(), timezone.utc)


def refuse_destination(job: Job) -> None:
    raise RefusedDestination("destination: outside", "settings")


def test_what_is_refused_for_its_addresses_has_done_no_work_and_keeps_its_identity() -> None:
    outcome = handle(AssertionError("must not run"), check=refuse_destination)
    result = decode_result(outcome.records[0].value)
    assert (result.error.code, result.error.stage) == ("invalid_destination", "request")
    assert (result.id, result.labels, result.replay, result.profile) == ("a", {"shop": "1"}, 2, "general")
    assert (outcome.suspicion, len(outcome.records)) == (None, 2)


def test_refused_destinations_can_bring_the_settings_in_doubt() -> None:
    doubts = Doubts(2)
    doubts.note_refused("s3://other/a", "outside")
    first, second = (handle(STORED, doubts=doubts, check=refuse_destination) for _ in range(2))
    assert (first.status, first.code) == ("failed", "invalid_destination")
    assert isinstance(second, Postponed)


@pytest.mark.logs_errors
def test_a_bug_in_the_check_of_addresses_ends_one_request() -> None:
    outcome = handle(STORED, check=lambda job: {}["bug"])
    assert (outcome.status, outcome.code) == ("failed", "unexpected")


def test_the_log_names_a_refused_request_as_its_result_does(caplog) -> None:
    caplog.set_level("INFO")
    event = {"ce_specversion": b"1.0", "ce_id": b"order/12", "ce_source": b"/shop", "ce_type": b"t"}
    record = replace(RECORD, value=b'{"image": "s3://a/b.jpg", "qualty": 1}', headers=list(event.items()))
    outcome = handle(STORED, partial(admit_record, models=ModelSettings()), record)
    assert decode_result(outcome.records[0].value).id == "order/12"
    (entry,) = caplog.records
    assert (entry.request, entry.stage, entry.code) == ("order/12", "request", "invalid_request")
    assert entry.seconds >= 0


@pytest.mark.parametrize(
    ("result", "status", "code"),
    [
        (STORED, "ok", ""),
        (UnreadableImage("truncated"), "failed", "failed_to_read_image"),
        (Expired("late"), "expired", "expired"),
        (SourceUnavailable("away"), "postponed", "failed_image_download"),
    ],
)
def test_each_request_that_ends_is_told_once(result, status: str, code: str) -> None:
    ended: list[tuple] = []
    handle(result, on_end=lambda *ending: ended.append(ending))
    ((record, job, progress, *rest),) = ended
    assert (record, job.id, progress.stage, rest) == (RECORD, "a", "decode", [status, code])


def test_a_request_that_is_refused_unread_is_told_without_a_job() -> None:
    def refuse(record: Record) -> Job:
        raise InvalidRequest("unknown field `imgae`")

    ended: list[tuple] = []
    handle(STORED, refuse, on_end=lambda *ending: ended.append(ending))
    assert [(ending[1], *ending[3:]) for ending in ended] == [(None, "failed", "invalid_request")]


def test_what_takes_long_moves_to_the_retry_topic_at_once_and_counts_no_attempt() -> None:
    outcome = handle(TakesLong("slow"), stage="fetch")
    assert isinstance(outcome, Postponed)
    assert outcome.code == "takes_long"
    (record,) = outcome.records
    delivery = read_redelivery(record.headers)
    assert record.topic == "retry"
    assert (delivery.attempts, delivery.untried) == (0, 0)
    assert delivery.not_before_ms == round(ManualClock().wall() * 1000)
