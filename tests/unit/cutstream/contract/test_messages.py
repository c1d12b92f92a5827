from __future__ import annotations

from datetime import datetime, timezone

import msgspec
import pytest

from cutstream.contract.messages import (
    MAX_MESSAGE_CHARACTERS,
    ErrorDetail,
    Request,
    Result,
    SourceRecord,
    decode_request,
    decode_result,
    encode,
)
from cutstream.errors import Expired, InvalidRequest, SourceFailed, SourceUnavailable

SOURCE = SourceRecord(topic="cutout.requests", partition=0, offset=7, timestamp_ms=1)


def test_least_request_is_valid() -> None:
    assert decode_request(b'{"image": "s3://photos/chair.jpg"}') == Request(image="s3://photos/chair.jpg")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"[]", "expected a JSON object, not a list"),
        (b"null", "expected a JSON object, not `null`"),
        (b"{}", "missing field `image`"),
        (b'{"image": null}', "`image`: expected text of 1 to 4,096 characters, not `null`"),
        (b'{"image": "a", "qualty": 1}', "unknown field `qualty`; did you mean `quality`?"),
        (b'{"image": "a", "refine": {"kernell": 3}}', "unknown field `refine.kernell`; did you mean `kernel`?"),
        (
            b'{"image": "a", "background": {"xyz": 3}}',
            "unknown field `background.xyz`; known are `color`, `gradient`, `image`, `fit`, `blur`",
        ),
        (b'{"image": "a", "quality": 0}', "`quality`: expected a whole number from 1 to 100, not 0"),
        (b'{"image": "a", "quality": 9.5}', "`quality`: expected a whole number from 1 to 100, not the number 9.5"),
        (b'{"image": "a", "quality": 900.0}', "`quality`: expected a whole number from 1 to 100, not 900"),
        (
            b'{"image": "a", "quality": %s}' % (b"9" * 30),
            "`quality`: expected a whole number from 1 to 100, not a number as large as this",
        ),
        (b'{"image": "a", "quality": %s}' % (b"9" * 5000), "`quality`: expected a whole number from 1 to 100"),
        (
            b'{"image": "a", "quality": 1e999}',
            "`quality`: expected a whole number from 1 to 100, not a number as large as this",
        ),
        (
            b'{"image": "a", "id": 5.0}',
            "`id`: expected text of 1 to 200 characters (letters, digits and any of . _ : @ = + -, but not dots alone) "
            "or null, not the number 5",
        ),
        (b'{"image": "a", "quality": true}', "`quality`: expected a whole number from 1 to 100, not `true`"),
        (b'{"image": "a", "quality": [90]}', "`quality`: expected a whole number from 1 to 100, not a list"),
        (b'{"image": "a", "quality": {}}', "`quality`: expected a whole number from 1 to 100, not an object"),
        (
            b'{"image": "a", "quality": -1e400}',
            "`quality`: expected a whole number from 1 to 100, not a number as large as this",
        ),
        (b'{"image": "a", "crop": "yes"}', "`crop`: expected `true` or `false`, not text"),
        (
            b'{"image": "a", "format": "gif"}',
            "`format`: expected one of `auto`, `jpeg`, `png`, `webp`, `zip`, not 'gif'",
        ),
        (
            b'{"image": "a", "format": "Jpeg"}',
            "`format`: expected one of `auto`, `jpeg`, `png`, `webp`, `zip`, not 'Jpeg'; did you mean `jpeg`?",
        ),
        (
            b'{"image": "a", "channels": "RGBA"}',
            "`channels`: expected one of `alpha`, `rgba`, not 'RGBA'; did you mean `rgba`?",
        ),
        (
            b'{"image": "a", "outputs": ["x"]}',
            "`outputs[0]`: expected one of `background`, `composite`, `cutout`, `layers`, `mask`, `overlay`, not 'x'",
        ),
        (
            b'{"image": "a", "outputs": []}',
            "`outputs`: expected a list of 1 to 6 items, each one of `background`, `composite`, `cutout`, `layers`, "
            "`mask`, `overlay`, not 0 items",
        ),
        (
            b'{"image": "a", "shadow": "hard"}',
            "`shadow`: expected one of `cast`, `contact`, `drop` or an object with `type`, `light`, `softness`, "
            "`opacity`, `color`, `depth` or null, not 'hard'",
        ),
        (
            b'{"image": "a", "shadow": {"type": "cast", "light": {"angle": 400}}}',
            "`shadow.light.angle`: expected a number from 0 to 360, not 400",
        ),
        (
            b'{"image": "a", "shadow": {"type": "cast", "light": {"angel": 4}}}',
            "unknown field `shadow.light.angel`; did you mean `angle`?",
        ),
        (b'{"image": "a", "shadow": {"light": "auto"}}', "missing field `shadow.type`"),
        (
            b'{"image": "a", "background": {"gradient": {"colors": ["red", ""]}}}',
            "`background.gradient.colors[1]`: expected text of 1 to 64 characters, not ''",
        ),
        (
            b'{"image": "a", "matting": {"method": "fats"}}',
            "`matting.method`: expected one of `closed_form`, `fast`, `knn`, `large_kernel`, `learning_based`, "
            "`random_walk`, not 'fats'; did you mean `fast`?",
        ),
        (b'{"image": "%s"}' % (b"x" * 4097), "`image`: expected text of 1 to 4,096 characters, not 4,097 characters"),
        (
            b'{"image": "a", "shadow": {"type": "drop", "opacity": 2}}',
            "`shadow.opacity`: expected a number from 0 to 1, not 2",
        ),
        (b'{"image": "a", "outputs": ["mask", "mask"]}', "`outputs` names the same output twice"),
        (
            b'{"image": "a", "labels": {"a": 1}}',
            "`labels['a']`: expected text of at most 1,000 characters, not the number 1",
        ),
        (
            b'{"image": "a", "labels": {"ok": "", "b": "%s"}}' % (b"x" * 1001),
            "`labels['b']`: expected text of at most 1,000 characters, not 1,001 characters",
        ),
        (b'{"image": "a", "labels": {"": ""}}', "`labels`: the name '' is not text of 1 to 100 characters"),
        (
            b'{"image": "a", "labels": {"%s": ""}}' % (b"k" * 101),
            f"`labels`: the name '{'k' * 100}…' is not text of 1 to 100 characters",
        ),
        (
            b'{"image": "a", "labels": {%s}}' % b",".join(b'"%d": ""' % n for n in range(65)),
            "`labels`: expected an object of at most 64 entries, each name text of 1 to 100 characters, each value "
            "text of at most 1,000 characters, not 65 entries",
        ),
        (b'{"image": "a", "refine": {"kernel": 0}}', "`refine.kernel`: expected a whole number from 1 to 99, not 0"),
        (b'"{}"', "expected a JSON object, not text: send the object itself, not a text that holds it"),
        (
            b'{"specversion": "1.0", "id": "a", "source": "/", "type": "t", "data": {"image": "a"}}',
            "the request is a CloudEvent in structured mode: send it with the header "
            "`content-type: application/cloudevents+json`",
        ),
    ],
)
def test_refusal_names_the_field_and_what_is_expected(value: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_request(value)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("format", "meant"),
    [("jpg", "jpeg"), ("JPG", "jpeg"), ("JPEG", "jpeg"), ("PNG", "png"), ("WebP", "webp"), ("ZIP", "zip")],
)
def test_a_format_may_be_written_as_others_write_it(format: str, meant: str) -> None:
    assert decode_request(b'{"image": "a", "format": "%s"}' % format.encode()).format == meant


@pytest.mark.parametrize("number", ["90.0", "9e1", "9.0E+1"])
def test_a_whole_number_may_be_written_with_a_fraction_of_zero(number: str) -> None:
    request = decode_request(b'{"image": "a", "quality": %s, "background": {"blur": 5}}' % number.encode())
    assert (request.quality, type(request.quality)) == (90, int)
    assert (request.background.blur, type(request.background.blur)) == (5.0, float)


@pytest.mark.parametrize(
    "deadline", ["2030-01-31T13:30:00+0130", "2030-01-31 12:00:00z", "2030-01-31T12:00:00.0-00:00"]
)
def test_a_deadline_may_be_written_as_others_write_it(deadline: str) -> None:
    request = decode_request(b'{"image": "a", "deadline": "%s"}' % deadline.encode())
    assert request.deadline == datetime(2030, 1, 31, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("deadline", ["soon", "2030-01-31T12:00:00", "2030-02-30T12:00:00Z"])
def test_deadline_needs_a_real_time_with_an_offset(deadline: str) -> None:
    with pytest.raises(InvalidRequest, match="`deadline`: expected an RFC 3339 time with its offset"):
        decode_request(b'{"image": "a", "deadline": "%s"}' % deadline.encode())


@pytest.mark.parametrize("identifier", ["", ".", "..", "a/b", "a b", "a\\n", "ä", "x" * 201])
def test_id_that_is_no_folder_name_is_refused(identifier: str) -> None:
    with pytest.raises(InvalidRequest, match=r"`id`: expected .* letters, digits and any of|`id`: expected text"):
        decode_request(b'{"image": "a", "id": "%s"}' % identifier.encode())


def test_hostile_json_is_an_invalid_request() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for value in (b'{"image": ' + deep + b"}", b'{"image": "\xff"}', b"\x00", b'{"' + b"x" * 1_000_000 + b'": 1}'):
        with pytest.raises(InvalidRequest) as refused:
            decode_request(value)
        assert len(str(refused.value)) < 1000


def test_result_always_shows_every_field() -> None:
    value = encode(Result(id="a", status="ok", source=SOURCE))
    for field in Result.__struct_fields__:
        assert f'"{field}":'.encode() in value


def test_result_has_an_error_exactly_when_it_is_not_ok() -> None:
    error = ErrorDetail(code="x", message="", stage="fetch", retryable=False)
    with pytest.raises(ValueError, match="must not have an error"):
        Result(id="a", status="ok", source=SOURCE, error=error)
    with pytest.raises(ValueError, match="must have an error"):
        Result(id="a", status="failed", source=SOURCE)


def test_reader_of_results_ignores_fields_it_does_not_know() -> None:
    value = encode(Result(id="a", status="ok", source=SOURCE))
    assert decode_result(value[:-1] + b',"new_in_2031":1}').id == "a"


def test_error_detail_is_clipped_and_says_whether_to_try_again() -> None:
    away = ErrorDetail.of(SourceUnavailable("x" * 5000), "fetch")
    assert (len(away.message), away.retryable, away.stage) == (MAX_MESSAGE_CHARACTERS, True, "fetch")
    assert not ErrorDetail.of(SourceFailed("404"), "fetch").retryable
    assert ErrorDetail.of(SourceFailed("3 attempts", retryable=True), "fetch").retryable


def test_only_a_request_that_expired_instead_of_another_attempt_has_a_cause() -> None:
    told = ErrorDetail.of(Expired("late", "failed_image_download"), "fetch")
    assert told.cause == "failed_image_download"
    for error in (Expired("late"), SourceFailed("404")):
        described = ErrorDetail.of(error, "fetch")
        assert described.cause is None
        assert "cause" not in msgspec.to_builtins(described), "older readers see what they know"
