"""Which failures count towards the limit at which a worker halts."""

from __future__ import annotations

import pytest

from consumer.delivery.failure_limit import FailureLimit, place_of, suspicion
from consumer.delivery.offsets import TrackedOffset
from consumer.delivery.outcomes import Answered, Suspicion
from cutstream.clients.kafka import Partition, Record
from cutstream.contract.options import Background
from cutstream.errors import (
    AddressNotAllowed,
    BackgroundFailed,
    DecoderFailed,
    FileTooLarge,
    InferenceFailed,
    InvalidProfile,
    InvalidRequest,
    Poison,
    RefusedAddress,
    SourceFailed,
    UnknownForeground,
    UnreadableImage,
    UnsupportedImage,
)
from tests.support.jobs import job_of

P = Partition("requests", 0)


def failed(error: Poison, offset: int = 0, image: str | None = None, **fields) -> Answered:
    record = Record(P, offset, 0, None, b"", [])
    job = job_of(image=image, **fields) if image else None
    return Answered(TrackedOffset(P, offset, 0), 0.0, 0, "failed", error.code, (), suspicion(error, record, job))


def other(status) -> Answered:
    return Answered(TrackedOffset(P, 0, 0), 0.0, 0, status)


def halts(outcomes, limit: int = 3) -> bool:
    failures = FailureLimit(limit)
    for outcome in outcomes:
        failures.note(outcome)
    return failures.reached is not None


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("not JSON"),
        RefusedAddress("no address"),
        FileTooLarge("too large"),
        UnsupportedImage("text"),
        UnreadableImage("truncated"),
        SourceFailed("https://shop.example/1.jpg answered 404"),
    ],
)
def test_what_only_the_sender_can_cause_never_counts(error: Poison) -> None:
    assert not halts((failed(error, n, f"https://shop-{n}.example/{n}.jpg") for n in range(300)), limit=1)


def test_a_dead_host_counts_once_and_many_dead_hosts_count() -> None:
    away = SourceFailed("timed out (3 attempts)", retryable=True)
    assert not halts((failed(away, n, f"https://shop.example/{n}.jpg") for n in range(4000)), limit=2)
    assert halts(failed(away, n, f"https://shop-{n}.example/a.jpg") for n in range(3))


def test_a_dead_background_counts_by_its_own_place() -> None:
    away = BackgroundFailed("timed out (3 attempts)", retryable=True)
    fields = {"background": Background(image="https://scenes.example/sea.jpg"), "outputs": ["composite"]}
    assert not halts(failed(away, n, f"https://shop-{n}.example/a.jpg", **fields) for n in range(300))


@pytest.mark.parametrize("error", [DecoderFailed("crashed"), InferenceFailed("Triton"), UnknownForeground("none")])
def test_what_the_deployment_causes_counts_for_each_photo_once(error: Poison) -> None:
    assert halts(failed(error, n, f"s3://photos/{n}.jpg") for n in range(3))
    assert not halts(failed(error, n, "s3://photos/blank.jpg") for n in range(300))


def test_what_a_setting_may_cause_counts_until_the_first_success() -> None:
    refused = [failed(AddressNotAllowed("FILE_ROOTS"), n, f"file:///photos/{n}.jpg") for n in range(3)]
    unknown = [failed(InvalidProfile("nope"), n) for n in range(3)]
    assert halts(refused)
    assert halts(unknown)
    assert not halts([other("ok"), *refused, *unknown])


def test_only_a_success_starts_the_count_anew() -> None:
    one, two, three = (failed(UnknownForeground("none"), n, f"s3://photos/{n}.jpg") for n in range(3))
    assert not halts([one, two, other("ok"), three])
    between = [other("expired"), other("cancelled"), failed(InvalidRequest("{}"))]
    assert halts([one, *between, two, *between, three])


def test_one_failure_is_enough_if_the_limit_says_so() -> None:
    assert halts([failed(UnknownForeground("none"), 0, "s3://photos/0.jpg")], limit=1)


def test_the_reason_names_the_codes_the_last_message_and_the_remedy() -> None:
    failures = FailureLimit(2)
    for number in range(4):
        suspicion = Suspicion("deployment", str(number), f"photo {number} has no subject")
        failures.note(Answered(TrackedOffset(P, number, 0), 0.0, 0, "failed", "unknown_foreground", (), suspicion))
    text = str(failures.reached)
    assert "2 × unknown_foreground" in text
    assert "photo 1 has no subject" in text
    assert "restart the worker" in text


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("https://Shop.example:8443/a/b.jpg", "https://shop.example:8443"),
        ("https://me:secret@shop.example/b.jpg", "https://shop.example"),
        ("s3://photos/a/b.jpg", "s3://photos"),
        ("file:///photos/a.jpg", "file://"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_place_is_the_host_the_bucket_or_all_files(address: str, place: str) -> None:
    assert place_of(address) == place
