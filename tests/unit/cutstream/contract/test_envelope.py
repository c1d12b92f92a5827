from __future__ import annotations

import base64
import json

import pytest

from cutstream.contract.envelope import (
    STRUCTURED,
    Envelope,
    Headers,
    dead_letter_headers,
    open_envelope,
    result_headers,
    salvage,
)
from cutstream.contract.messages import ErrorDetail, Result, SourceRecord
from cutstream.errors import InvalidRequest, SourceFailed

REQUEST = b'{"image": "s3://photos/chair.jpg"}'
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = (("traceparent", TRACEPARENT.encode()), ("tracestate", b"vendor=1"))
EVENT = {"specversion": "1.0", "id": "a1", "source": "/shop", "type": "io.cutstream.request.v1"}
SOURCE = SourceRecord(topic="cutout.requests", partition=3, offset=1045, timestamp_ms=1_900_000_000_000)


def binary(**attributes: str) -> Headers:
    return [(f"ce_{name}", text.encode()) for name, text in {**EVENT, **attributes}.items()]


def structured(**members: object) -> tuple[bytes, Headers]:
    return json.dumps({**EVENT, **members}).encode(), [("content-type", f"{STRUCTURED}; charset=UTF-8".encode())]


def test_plain_record_is_its_own_payload() -> None:
    assert open_envelope(REQUEST, []) == Envelope(REQUEST)


def test_binary_mode_keeps_the_value_and_takes_the_id() -> None:
    headers = [*binary(subject="x"), ("content-type", b"application/json"), *TRACE]
    assert open_envelope(REQUEST, headers) == Envelope(REQUEST, "a1", TRACE)


def test_structured_mode_opens_data_and_base64() -> None:
    assert open_envelope(*structured(data={"image": "a"}, any_extension=1)) == Envelope(b'{"image": "a"}', "a1")
    assert open_envelope(*structured(data={"image": "a"}, data_base64=None)) == Envelope(b'{"image": "a"}', "a1")
    encoded = base64.b64encode(REQUEST).decode()
    assert open_envelope(*structured(data=None, data_base64=encoded)) == Envelope(REQUEST, "a1")
    assert open_envelope(*structured(data_base64=encoded)) == Envelope(REQUEST, "a1")


def test_trace_comes_from_the_events_attributes_where_headers_have_none() -> None:
    value, headers = structured(data={}, traceparent=TRACEPARENT, tracestate="vendor=1")
    assert open_envelope(value, headers).trace == TRACE
    assert open_envelope(REQUEST, binary(traceparent=TRACEPARENT)).trace == TRACE[:1]
    other = ("traceparent", TRACEPARENT.replace("b7", "c8").encode())
    assert open_envelope(value, [*headers, other]).trace == (other,)


def test_malformed_traceparent_is_dropped_with_its_state() -> None:
    valid = TRACE[0][1]
    for broken in (
        *(b"", b"00-xyz", b"\xff", valid + b"\n", valid + b"-\0", valid + b"-00", valid.upper(), b" " + valid),
        *(b"ff" + valid[2:], b"01" + valid[2:] + b"-\r\nx: y", b"01" + valid[2:] + b"-\xc3\xa9"),
        *(valid[:3] + b"0" * 32 + valid[35:], valid[:36] + b"0" * 16 + valid[52:]),
    ):
        assert open_envelope(REQUEST, [("traceparent", broken), ("tracestate", b"a=b")]).trace == ()


def test_traceparent_of_a_later_version_is_kept() -> None:
    later = (("traceparent", b"01" + TRACE[0][1][2:] + b"-what may follow"),)
    assert open_envelope(REQUEST, list(later)).trace == later


@pytest.mark.parametrize(
    "state",
    [b"vendor=1", b"a=1,b=2", b"a=1, \tb=2 ", b",a=1,,", b"t3nant@sys=x", b"a_-*/1= !~", b",".join([b"a=1"] * 32)],
)
def test_tracestate_is_copied_as_it_is(state: bytes) -> None:
    assert open_envelope(REQUEST, [TRACE[0], ("tracestate", state)]).trace == (TRACE[0], ("tracestate", state))


@pytest.mark.parametrize(
    "state",
    [
        *(b"", b" ", b",", b"vendor", b"=1", b"a=", b"A=1", b"a=1=2", b"a=b c\r\nx: y", b"a=\0", b"a=\n", b"a=1\n"),
        *(b"a=\xff", "a=é".encode(), b"a=\x7f", b"a=1;b=2,", b"a\n=1", b"-a=1", b"a" * 257 + b"=1", b"a=" + b"1" * 257),
        b",".join([b"a=1"] * 33),
    ],
)
def test_malformed_tracestate_is_dropped(state: bytes) -> None:
    state = state.replace(b"a=1;b=2,", b"a=1;b=2\x1f")
    value, headers = structured(data={}, traceparent=TRACEPARENT, tracestate=state.decode(errors="replace"))
    for trace in (
        open_envelope(REQUEST, [TRACE[0], ("tracestate", state)]).trace,
        open_envelope(REQUEST, [*binary(traceparent=TRACEPARENT), ("ce_tracestate", state)]).trace,
        open_envelope(value, headers).trace,
    ):
        assert trace == TRACE[:1]


def test_a_trace_that_is_too_long_is_left_out() -> None:
    long_state = ("tracestate", b"vendor=" + b"1" * 4096)
    assert open_envelope(REQUEST, [TRACE[0], long_state]).trace == TRACE[:1]
    assert open_envelope(REQUEST, [("traceparent", TRACE[0][1] + b"-" + b"x" * 512), TRACE[1]]).trace == ()


def test_last_header_of_a_name_counts() -> None:
    assert open_envelope(REQUEST, [*binary(), ("ce_id", b"later")]).id == "later"


@pytest.mark.parametrize("id", ["order/12", "orders/4711 of today", "..", "a\n", "\x1b[2J", "日本", "x" * 4096, " "])
def test_an_event_may_have_any_id(id: str) -> None:
    assert open_envelope(REQUEST, binary(id=id)).id == id
    assert open_envelope(*structured(id=id, data={"image": "a"})).id == id


def test_attributes_of_any_type_are_ignored_and_those_of_a_trace_are_dropped() -> None:
    value, headers = structured(data={}, traceparent=5, tracestate=[1], subject=None, count=3, nested={"a": [1]})
    assert open_envelope(value, headers) == Envelope(b"{}", "a1")
    broken = [*binary(), ("ce_traceparent", b"\xff"), ("ce_subject", b"\xff"), ("ce_tracestate", b"\xff")]
    assert open_envelope(REQUEST, broken) == Envelope(REQUEST, "a1")


@pytest.mark.parametrize("name", ["application/cloudevents+json;charset=utf-8", " Application/CloudEvents+JSON ; x=y"])
def test_the_parameters_and_the_case_of_the_content_type_do_not_matter(name: str) -> None:
    value, _ = structured(data={"image": "a"})
    assert open_envelope(value, [("content-type", name.encode())]) == Envelope(b'{"image": "a"}', "a1")


@pytest.mark.parametrize(
    ("value", "headers", "message"),
    [
        (REQUEST, binary(specversion="0.3"), r"\(ce_\*\): `specversion`: expected one of `1.0`"),
        (REQUEST, binary(source=""), r"\(ce_\*\): `source`: expected text of at least 1 characters"),
        (REQUEST, [("ce_specversion", b"1.0")], r"\(ce_\*\): missing field `id`"),
        (REQUEST, [*binary(), ("ce_type", b"\xff")], "not UTF-8"),
        (b"{", [("content-type", STRUCTURED.encode())], "CloudEvent: the request is not JSON: it ends too early"),
        (REQUEST, [("content-type", STRUCTURED.encode())], "CloudEvent: missing field `specversion`"),
        (REQUEST, binary(id="x" * 4097), r"\(ce_\*\): `id`: expected text of 1 to 4,096 characters"),
        (REQUEST, binary(id=""), r"\(ce_\*\): `id`: expected text of 1 to 4,096 characters"),
        (*structured(id="x" * 4097), "CloudEvent: `id`: expected text of 1 to 4,096 characters"),
        (*structured(id=7), "CloudEvent: `id`: expected text of 1 to 4,096 characters, not a number"),
        (*structured(data_base64="%%%"), "CloudEvent: `data_base64`: expected text in Base64 or null$"),
        (*structured(data_base64=5), "CloudEvent: `data_base64`: expected text in Base64 or null, not a number"),
        (*structured(data={}, data_base64="e30="), "CloudEvent: has both `data` and `data_base64`"),
        (REQUEST, [("ce_id", b"a1")], r"\(ce_\*\): missing field `specversion`"),
        (REQUEST, [("ce_type", b"t")], r"\(ce_\*\): missing field `specversion`"),
        (REQUEST, [h for h in binary() if h[0] != "ce_specversion"], r"\(ce_\*\): missing field `specversion`"),
        (REQUEST, [h for h in binary() if h[0] != "ce_source"], r"\(ce_\*\): missing field `source`"),
        (b"[]", [("content-type", b"application/cloudevents-batch+json")], "send `application/cloudevents.json`, one"),
    ],
)
def test_broken_event_is_an_invalid_request(value: bytes, headers: Headers, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        open_envelope(value, headers)


def test_salvage_reads_what_it_can_of_a_refused_request() -> None:
    found = salvage(b'{"id": "a", "labels": {"k": "v"}, "replay": 2, "imag": 3}', list(TRACE))
    assert (found.id, found.labels, found.replay, found.trace) == ("a", {"k": "v"}, 2, TRACE)


@pytest.mark.parametrize("id", ['""', "null", "true", "[]", "{}", "1.5", "9" * 5000, f'"{"x" * 4097}"'])
def test_salvage_leaves_out_what_is_invalid(id: str) -> None:
    value = b'{"id": %s, "labels": {"k": 1}, "replay": -1}' % id.encode()
    found = salvage(value, [])
    assert (found.id, found.labels, found.replay) == (None, {}, 0)
    assert salvage(value, binary()).id == "a1"


@pytest.mark.parametrize(("id", "expected"), [('"../x"', "../x"), ('"order/12"', "order/12"), ("4711", "4711")])
def test_salvage_keeps_an_id_that_no_request_may_have(id: str, expected: str) -> None:
    assert salvage(b'{"id": %s}' % id.encode(), binary()).id == expected


def test_salvage_reads_an_event_of_which_another_part_is_wrong() -> None:
    request = {"labels": {"shop": "1"}, "replay": 2}
    in_headers = salvage(json.dumps(request).encode(), binary(specversion="0.3"))
    in_value = salvage(*structured(specversion="0.3", data=request))
    for found in (in_headers, in_value):
        assert (found.id, found.labels, found.replay) == ("a1", {"shop": "1"}, 2)
    assert salvage(REQUEST, [*binary(), ("ce_id", b"\xff")]).id is None
    assert salvage(REQUEST, [("ce_id", b"a1")]).id == "a1"
    assert salvage(b"\xef\xbb\xbf" + json.dumps(request).encode(), [("ce_id", b"a1")]).labels == {"shop": "1"}
    assert salvage(*structured(id=4711, type=None)).id == "4711"


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000, b'{"x":' + b"[" * 100_000])
def test_salvage_never_raises(value: bytes) -> None:
    assert salvage(value, []).id is None
    assert salvage(value, binary()).id == "a1"
    assert salvage(value, [("content-type", STRUCTURED.encode()), *TRACE]).trace == TRACE


def test_result_is_a_binary_mode_event_that_carries_the_trace() -> None:
    result = Result(id="a", status="ok", source=SOURCE)
    headers = dict(result_headers(result, 1_900_000_000.25, TRACE))
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"a",
        "ce_source": b"urn:cutstream:worker",
        "ce_type": b"io.cutstream.result.v1",
        "ce_time": b"2030-03-17T17:46:40.250+00:00",
        "ce_subject": b"a",
        "content-type": b"application/json",
        **dict(TRACE),
    }


def test_replayed_result_is_another_event_about_the_same_request() -> None:
    headers = dict(result_headers(Result(id="a", status="ok", source=SOURCE, replay=2), 0.0))
    assert (headers["ce_id"], headers["ce_subject"]) == (b"a", b"a")
    assert headers["ce_source"] == b"urn:cutstream:worker:replay:2"


def test_dead_letter_keeps_the_original_headers_first_and_untouched() -> None:
    original: Headers = [("x", b"\xff"), ("x", b""), ("__cutstream.errors.code", b"older")]
    error = SourceFailed("404: ä")
    headers = dead_letter_headers(original, "a", SOURCE, ErrorDetail.of(error, "fetch"), error)
    assert headers[:3] == original
    assert dict(headers[3:]) == {
        "__cutstream.errors.request-id": b"a",
        "__cutstream.errors.topic": b"cutout.requests",
        "__cutstream.errors.partition": b"3",
        "__cutstream.errors.offset": b"1045",
        "__cutstream.errors.timestamp": b"1900000000000",
        "__cutstream.errors.code": b"failed_image_download",
        "__cutstream.errors.stage": b"fetch",
        "__cutstream.errors.exception.class.name": b"cutstream.errors.SourceFailed",
        "__cutstream.errors.exception.message": "404: ä".encode(),
        "__cutstream.errors.cut-from-bytes": b"0",
    }
