"""The published schema accepts exactly what the decoder accepts, and every message survives its codec."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

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
from cutstream.contract.schemas import json_schema
from cutstream.errors import InvalidRequest

formats = FormatChecker(formats=())
RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


@formats.checks("date-time", raises=ValueError)
def is_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    found = RFC3339.fullmatch(value)
    return found is not None and bool(datetime.fromisoformat(f"{found[1]}T{found[2]}{found[4].replace('Z', '+00:00')}"))


SCHEMA = Draft202012Validator(json_schema(Request), format_checker=formats)

offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(timezones=offsets)
names = st.text(min_size=1, max_size=100)
ids = st.text("abyzAZ019._:@=+-", min_size=1, max_size=200).filter(lambda text: text.strip("."))
labels = st.dictionaries(names, st.text(max_size=50), max_size=5)
outputs = st.lists(st.sampled_from(["cutout", "mask", "composite"]), min_size=1, max_size=3, unique=True).map(tuple)

# Values that the schema and the decoder may only refuse or accept together. Floats without a fraction are left out:
# JSON Schema counts 9.0 as an integer and cannot say otherwise, the decoder wants 9.
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    st.text(max_size=20),
    st.sampled_from(["", ".", "..", "a\n", "png", "keep", "x" * 101, "x" * 201, "x" * 4097, "😀" * 100, "2030-01-01"]),
    st.lists(st.sampled_from(["cutout", "mask", "composite", "x", 1]), max_size=4),
    st.dictionaries(st.sampled_from(["color", "kernel", "close", "scale", "x", ""]), st.integers(-1, 100), max_size=3),
    st.integers(63, 66).map(lambda count: {str(i): "" for i in range(count)}),
    times.map(datetime.isoformat),
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
    existing_alpha=st.sampled_from(["keep", "multiply", "ignore"]),
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


@given(nearly_requests())
@example({})
@example({"image": "a", "id": "a\n"})
@example({"image": "a", "id": ".."})
@example({"image": "a", "outputs": ["mask", "mask"]})
@example({"image": "a", "deadline": "2030-01-31T12:00:00"})
@example({"image": "a", "deadline": "2030-02-30T12:00:00Z"})
@example({"image": "a", "labels": {"": "x"}})
def test_schema_accepts_exactly_what_the_decoder_accepts(fields: dict[str, Any]) -> None:
    assert SCHEMA.is_valid(fields) == decodes(json.dumps(fields).encode())


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
