"""The published schema accepts exactly what the decoder accepts, and every message survives its codec."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cutstream.contract.envelope import open_envelope, salvage
from cutstream.contract.messages import (
    Background,
    BoundingBox,
    ErrorDetail,
    RefineParameters,
    Request,
    Result,
    SourceRecord,
    WarningDetail,
    decode_request,
    decode_result,
    encode,
)
from cutstream.contract.reading.spellings import TIME_PATTERN
from cutstream.contract.schemas import json_schema
from cutstream.errors import InvalidRequest

SCHEMA = Draft202012Validator(json_schema(Request))

offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(timezones=offsets)
names = st.text(min_size=1, max_size=100)
ids = st.text("abyzAZ019._:@=+-", min_size=1, max_size=200).filter(lambda text: text.strip("."))
labels = st.dictionaries(names, st.text(max_size=50), max_size=5)
outputs = st.lists(st.sampled_from(["cutout", "mask", "composite"]), min_size=1, max_size=3, unique=True).map(tuple)

near_times = st.from_regex(TIME_PATTERN, fullmatch=True) | st.from_regex(
    r"(0000|0001|2000|2023|2024|2100|9999)-[01][0-9]-[0-3][0-9][Tt _][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
    r"([.,][0-9]{0,9})?([Zz]|[+-][0-2][0-9]:?[0-6][0-9]|)\n?",
    fullmatch=True,
)

# Values that the schema and the decoder may only refuse or accept together.
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-5, 400).map(float),
    st.text(max_size=20),
    st.sampled_from(["", ".", "..", "a\n", "png", "keep", "x" * 101, "x" * 201, "x" * 4097, "😀" * 100, "2030-01-01"]),
    st.sampled_from(
        ["jpg", "JPG", "Jpg", "jpeg", "JPEG", "PNG", "WebP", "webP", "ZIP", "tif", "MASK", "Cutout", "CAST"]
    ),
    st.lists(st.sampled_from(["cutout", "mask", "composite", "x", 1]), max_size=4),
    st.dictionaries(
        st.sampled_from(["color", "kernel", "close", "scale", "type", "angle", "blur", "strength", "light", "x", ""]),
        st.integers(-1, 100) | st.integers(-1, 100).map(float) | st.sampled_from(["cast", "auto", "fast", {}]),
        max_size=3,
    ),
    st.integers(63, 66).map(lambda count: {str(i): "" for i in range(count)}),
    near_times,
)
parameters = st.builds(
    RefineParameters,
    kernel=st.integers(1, 99),
    close=st.integers(0, 20),
    threshold=st.none() | st.integers(0, 255),
    scale=st.sampled_from(["long_side", "none"]),
)
requests = st.builds(
    Request,
    image=st.text(min_size=1, max_size=50),
    id=st.none() | ids,
    profile=st.none() | names,
    outputs=outputs,
    format=st.sampled_from(["auto", "png", "webp", "jpeg"]),
    quality=st.integers(1, 100),
    channels=st.sampled_from(["rgba", "alpha"]),
    crop=st.booleans(),
    crop_margin=st.none() | names,
    refine=names | parameters,
    background=st.builds(Background, color=st.text(min_size=1, max_size=64)),
    existing_alpha=st.sampled_from(["auto", "keep", "multiply", "ignore"]),
    deadline=st.none() | times,
    labels=labels,
    replay=st.integers(0, 1_000_000),
)
sources = st.builds(
    SourceRecord,
    topic=names,
    partition=st.integers(0, 2**31),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(0),
)
errors = st.builds(ErrorDetail, code=names, message=st.text(), stage=names, retryable=st.booleans())
boxes = st.builds(BoundingBox)
results = st.one_of(
    st.builds(
        Result,
        id=ids,
        status=st.just("ok"),
        source=sources,
        error=st.none(),
        image=st.none() | st.text(),
        bbox=st.none() | boxes,
        warnings=st.lists(st.builds(WarningDetail), max_size=3).map(tuple),
        labels=labels,
    ),
    st.builds(Result, id=ids, status=st.sampled_from(["failed", "expired", "cancelled"]), source=sources, error=errors),
)


@st.composite
def nearly_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A valid request with some of its fields, or an unknown one, replaced by junk."""
    fields: dict[str, Any] = json.loads(encode(draw(requests)))
    for name in draw(st.lists(st.sampled_from([*Request.__struct_fields__, "unknown"]), max_size=2)):
        fields[name] = draw(junk)
    return fields


def decodes(value: bytes) -> bool:
    try:
        decode_request(value)
    except InvalidRequest:
        return False
    return True


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def schema_accepts(value: bytes) -> bool:
    """Return whether the bytes are JSON in UTF-8 that the schema accepts; another implementation reads them."""
    try:
        text = value.decode("utf-8-sig")
        fields = json.loads(text, parse_constant=refuse_constant)
        json.dumps(fields, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except ValueError:
        return False
    return SCHEMA.is_valid(fields)


@given(nearly_requests())
@example({})
@example({"image": "a", "id": "a\n"})
@example({"image": "a", "id": ".."})
@example({"image": "a", "outputs": ["mask", "mask"]})
@example({"image": "a", "deadline": "2030-01-31T12:00:00"})
@example({"image": "a", "deadline": "2030-02-30T12:00:00Z"})
@example({"image": "a", "deadline": "2030-01-31T12:00:00+0100"})
@example({"image": "a", "deadline": "2030-01-31 12:00:00z"})
@example({"image": "a", "deadline": "2030-12-31T23:59:60Z"})
@example({"image": "a", "deadline": "9999-12-31T23:59:59.9999995Z"})
@example({"image": "a", "deadline": "9999-12-31T23:59:59.9999994Z"})
@example({"image": "a", "deadline": "٢٠٣٠-01-31T12:00:00Z"})
@example({"image": "a", "labels": {"": "x"}})
@example({"image": "a", "labels": {"x": 1.0}})
@example({"image": "a", "quality": 90.0})
@example({"image": "a", "quality": 90.5})
@example({"image": "a", "replay": -0.0})
@example({"image": "a", "quality": 1e300})
@example({"image": "a", "refine": {"kernel": 3.0, "threshold": 5.0}})
@example({"image": "a", "background": {"blur": 5}})
@example({"image": "a", "format": "jpg"})
@example({"image": "a", "format": "Jpg"})
def test_schema_accepts_exactly_what_the_decoder_accepts(fields: dict[str, Any]) -> None:
    value = json.dumps(fields).encode()
    assert schema_accepts(value) == decodes(value)


@pytest.mark.parametrize(
    "text",
    [
        *(f'{{"image": "a", "quality": {number}}}' for number in ("90.0", "9e1", "0.9e2", "90.00000000000000000001")),
        *(f'{{"image": "a", "quality": {number}}}' for number in ("9E+1", "-0", "-0.0", "090", "90.", ".9e2", "+90")),
        *(f'{{"image": "a", "quality": {number}}}' for number in ("NaN", "Infinity", "-Infinity", "1e400", "9" * 400)),
        *(
            f'{{"image": "a", "replay": {number}}}'
            for number in ("-0", "-0.0", "1e6", "1000001.0", "9007199254740993.0")
        ),
        *(
            f'{{"image": "a", "background": {{"blur": {number}}}}}'
            for number in ("1e400", "200", "2e2", "1e-400", "-0.0")
        ),
        '{"image": "a", "quality": 500, "quality": 50}',
        '{"image": "a", "quality": 50, "quality": 500}',
        '{"image": "a", "quality": "x", "quality": 50.0}',
        '{"image": "a", "labels": {"a": 1, "a": "b"}}',
        '{"image": 1, "image": "a"}',
        '{"image": 1e400, "image": "a"}',
        '{"image": "a", "quality": -1e400, "quality": 50}',
        '{"image": "a", "labels": {"a": 1e400, "a": "b"}}',
        '{"image": "a", "background": {"blur": 1e400, "blur": 5}}',
        '\ufeff{"image": "a"}',
        '{"image": "\\ud83d\\ude00"}',
        '{"image": "\\ud83d"}',
        '{"image": "\\ude00\\ud83d"}',
        '{"image": "\\u0000"}',
        '{"image": "a\nb"}',
        '{"image": "a"}\n',
        ' \t\r\n{"image": "a"}',
        '\f{"image": "a"}',
        '{"image": "a"} {"image": "b"}',
        '{"image": "a"}\0',
        '{"image": "a",}',
        "{'image': 'a'}",
        '{"image": "a" /* here */}',
        '{"Image": "a"}',
        "null",
        "",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_schema_and_decoder_agree_about_texts(text: str, encoding: str) -> None:
    value = text.encode(encoding)
    assert schema_accepts(value) == decodes(value)


@given(nearly_requests(), st.integers(0, 10_000), st.binary(max_size=2), st.integers(0, 3))
def test_schema_and_decoder_agree_about_damaged_texts(
    fields: dict[str, Any], place: int, inserted: bytes, removed: int
) -> None:
    value = json.dumps(fields, ensure_ascii=False).encode(errors="surrogatepass")
    at = place % (len(value) + 1)
    damaged = value[:at] + inserted + value[at + removed :]
    assert schema_accepts(damaged) == decodes(damaged)


@given(requests)
def test_request_survives_its_codec(request: Request) -> None:
    assert decode_request(encode(request)) == request


@given(results)
def test_result_survives_its_codec_and_fits_its_schema(result: Result) -> None:
    value = encode(result)
    assert decode_result(value) == result
    Draft202012Validator(json_schema(Result)).validate(json.loads(value))


@given(requests)
def test_salvage_agrees_with_the_decoder(request: Request) -> None:
    found = salvage(encode(request), [])
    assert (found.id, found.labels, found.replay) == (request.id, request.labels, request.replay)


headers = st.lists(
    st.tuples(
        st.sampled_from(["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type", "traceparent", "x"]),
        st.binary(max_size=8) | st.sampled_from([b"1.0", b"a", b"application/cloudevents+json"]),
    ),
    max_size=6,
)


@given(st.binary(max_size=40) | requests.map(encode), headers)
def test_no_record_is_anything_but_read_or_refused(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    salvage(value, headers)
    with suppress(InvalidRequest):
        decode_request(open_envelope(value, headers).payload)
