"""Which failures count towards the limit at which a worker halts."""

from __future__ import annotations

import pytest

from consumer.delivery.failure_limit import FailureLimit, suspicion
from consumer.delivery.offsets import TrackedOffset
from consumer.delivery.outcomes import Answered, Suspicion
from cutstream.clients.kafka import Partition, Record
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
    RefusedBackground,
    RegionOutOfBounds,
    SourceFailed,
    UnknownBackground,
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
        DecoderFailed("crashed"),
        SourceFailed("https://shop.example/1.jpg answered 404"),
        InvalidProfile("profile 'prcise' is not served here"),
        RegionOutOfBounds("roi ends at (9, 9)"),
        UnknownForeground("no subject was found"),
    ],
)
def test_what_only_the_sender_can_cause_never_counts(error: Poison) -> None:
    assert not halts((failed(error, n, f"https://shop-{n}.example/{n}.jpg") for n in range(300)), limit=1)


@pytest.mark.parametrize("kind", [SourceFailed, BackgroundFailed])
def test_hosts_that_do_not_answer_never_count(kind: type[SourceFailed]) -> None:
    away = kind("timed out (3 attempts)", retryable=True)
    assert not halts((failed(away, n, f"https://shop-{n}.example/{n}.jpg") for n in range(4000)), limit=1)


@pytest.mark.parametrize("kind", [AddressNotAllowed, RefusedBackground, UnknownBackground])
def test_what_the_settings_refuse_never_counts(kind: type[Poison]) -> None:
    assert not halts((failed(kind("not allowed"), n, f"https://shop-{n}.example/a.jpg") for n in range(300)), limit=1)


def test_spellings_of_one_address_count_once() -> None:
    photos = ["http://Shop.example/a.jpg", "HTTP://shop.example:80/./a.jpg", "http://shop.example//%61.jpg#1"]
    assert not halts(failed(DecoderFailed("killed", "deployment"), n, address) for n, address in enumerate(photos))


@pytest.mark.parametrize("error", [DecoderFailed("killed", "deployment"), InferenceFailed("Triton")])
def test_what_the_deployment_causes_counts_for_each_photo_once(error: Poison) -> None:
    assert halts(failed(error, n, f"s3://photos/{n}.jpg") for n in range(3))
    assert not halts(failed(error, n, "s3://photos/blank.jpg") for n in range(300))


def test_only_a_success_starts_the_count_anew() -> None:
    one, two, three = (failed(InferenceFailed("none"), n, f"s3://photos/{n}.jpg") for n in range(3))
    assert not halts([one, two, other("ok"), three])
    between = [other("expired"), other("cancelled"), failed(InvalidRequest("{}"))]
    assert halts([one, *between, two, *between, three])


def test_one_failure_is_enough_if_the_limit_says_so() -> None:
    assert halts([failed(InferenceFailed("none"), 0, "s3://photos/0.jpg")], limit=1)


def test_the_reason_names_the_codes_the_last_message_and_the_remedy() -> None:
    failures = FailureLimit(2)
    for number in range(4):
        suspicion = Suspicion(str(number), f"photo {number} fails")
        failures.note(Answered(TrackedOffset(P, number, 0), 0.0, 0, "failed", "inference_failed", (), suspicion))
    text = str(failures.reached)
    assert "2 × inference_failed" in text
    assert "photo 1 fails" in text
    assert "restart the worker" in text
