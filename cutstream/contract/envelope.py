"""The envelope of requests and results in Kafka records: CloudEvents 1.0, trace context, dead-letter headers.

A request may be plain JSON, a CloudEvent in binary mode (`ce_*` headers) or a CloudEvent in structured mode
(`application/cloudevents+json`). A result is always a CloudEvent in binary mode. The last of several headers with the
same name counts.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from cutstream import errors
from cutstream.contract.ids import AnyId
from cutstream.contract.messages import DECODE_ERRORS, ErrorDetail, Labels, Replay, Result, SourceRecord
from cutstream.contract.options import Address
from cutstream.contract.reading.unreadable import explain_unreadable, without_bom
from cutstream.contract.reading.validation import explain

Headers = list[tuple[str, bytes]]
Trace = tuple[tuple[str, bytes], ...]
T = TypeVar("T")

REQUEST_TYPE = "io.cutstream.request.v1"
RESULT_TYPE = "io.cutstream.result.v1"
RESULT_SOURCE = "urn:cutstream:worker"
STRUCTURED = "application/cloudevents+json"
DEAD_LETTER_PREFIX = "__cutstream.errors."

# A trace beyond these is dropped: it is passed on to the result, which has to fit a record. W3C asks for 512 bytes.
_MAX_TRACEPARENT_BYTES = 512
_MAX_TRACESTATE_BYTES = 4096

_REQUIRED = ("specversion", "id", "source", "type")

# W3C Trace Context: version 00 ends after the flags, a later one may go on; ids of zeros alone name nothing.
_IDS_AND_FLAGS = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(rb"00%b|(?!00|ff)[0-9a-f]{2}%b(?:-[ -~]*)?" % (_IDS_AND_FLAGS, _IDS_AND_FLAGS))
_TRACESTATE_MEMBER = re.compile(rb"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_MAX_TRACESTATE_MEMBERS = 32

Required = Annotated[str, msgspec.Meta(min_length=1)]


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of an event that the worker reads. Other attributes and types are allowed."""

    specversion: Literal["1.0"]
    id: AnyId
    source: Required
    type: Required
    traceparent: Any = None  # of another type than text, it is dropped like any other that is malformed
    tracestate: Any = None
    data_base64: bytes | None = None


class _StructuredEvent(CloudEvent, frozen=True, kw_only=True):
    data: msgspec.Raw = msgspec.Raw()


class _BrokenEvent(msgspec.Struct):
    """The parts of a structured event that identify a request, although another part is wrong."""

    id: Any = None
    data: msgspec.Raw = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class Envelope:
    """An opened envelope. `payload` is the request's JSON, `id` the event's id, which may be any text."""

    payload: bytes
    id: str | None = None
    trace: Trace = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """The fields of a failed result that identify a request, even one that could not be read."""

    id: str | None
    labels: dict[str, str]
    replay: int
    image: str | None = None
    trace: Trace = ()


class _Fields(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()
    image: msgspec.Raw = msgspec.Raw()
    labels: msgspec.Raw = msgspec.Raw()
    replay: msgspec.Raw = msgspec.Raw()


_event_decoder = msgspec.json.Decoder(_StructuredEvent)
_fields_decoder = msgspec.json.Decoder(_Fields)
_broken_event_decoder = msgspec.json.Decoder(_BrokenEvent)
_image_decoder = msgspec.json.Decoder(Address)
_id_decoder = msgspec.json.Decoder(AnyId | int)
_labels_decoder = msgspec.json.Decoder(Labels)
_replay_decoder = msgspec.json.Decoder(Replay)


def open_envelope(value: bytes, headers: Headers) -> Envelope:
    """Open the envelope of a record. Raises InvalidRequest if the record claims to be a CloudEvent but is not."""
    named = dict(headers)
    content_type = _content_type(named)
    trace = _header_trace(named)
    if content_type == STRUCTURED:
        return _from_event(_structured(value), trace)
    if content_type.startswith("application/cloudevents"):
        raise errors.InvalidRequest(
            f"content-type: `{content_type}` is not supported; send `{STRUCTURED}`, one event per record"
        )
    if _is_binary_event(named):
        event = _binary(named)
        return Envelope(value, event.id, trace or _trace_of(event))
    return Envelope(value, None, trace)


def salvage(value: bytes, headers: Headers) -> Identity:
    """Read the identity of a request that is broken, as far as possible. Never raises.

    The `id` that a request names is part of it even if no request may have it: its failed result has to say which one
    it answers.
    """
    try:
        envelope = open_envelope(value, headers)
    except errors.InvalidRequest:
        envelope = _broken_envelope(value, dict(headers))
    try:
        fields = _fields_decoder.decode(without_bom(envelope.payload))
    except DECODE_ERRORS:
        fields = _Fields()
    return Identity(
        id=_id_of(fields.id) or envelope.id,
        labels=_decode_or_none(_labels_decoder, fields.labels) or {},
        replay=_decode_or_none(_replay_decoder, fields.replay) or 0,
        image=_decode_or_none(_image_decoder, fields.image),
        trace=envelope.trace,
    )


def result_headers(result: Result, time_s: float, trace: Trace = ()) -> Headers:
    """Return the headers of a result. `time_s` is in seconds since the Unix epoch.

    The id of the event is the request's id, byte for byte. A source and an id name one event, so that the source tells
    the replays of a request apart.
    """
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": result.id,
        "ce_source": f"{RESULT_SOURCE}:replay:{result.replay}" if result.replay else RESULT_SOURCE,
        "ce_type": RESULT_TYPE,
        "ce_time": datetime.fromtimestamp(time_s, timezone.utc).isoformat(timespec="milliseconds"),
        "ce_subject": result.id,
        "content-type": "application/json",
    }
    return [(name, text.encode()) for name, text in attributes.items()] + list(trace)


def dead_letter_headers(
    original: Headers,
    request_id: str,
    source: SourceRecord,
    error: ErrorDetail,
    exception: BaseException,
    cut_from_bytes: int = 0,
) -> Headers:
    """Return the headers of a dead letter: the original ones unchanged, then those with its origin and its error.

    Their names follow those of Kafka Connect. `cut_from_bytes` is the size of a record that was too large to be kept
    whole.
    """
    reasons = {
        "request-id": request_id,
        "topic": source.topic,
        "partition": source.partition,
        "offset": source.offset,
        "timestamp": source.timestamp_ms,
        "code": error.code,
        "stage": error.stage,
        "exception.class.name": _class_name(type(exception)),
        "exception.message": error.message,
        "cut-from-bytes": cut_from_bytes,
    }
    return original + [(DEAD_LETTER_PREFIX + name, str(value).encode()) for name, value in reasons.items()]


def _class_name(kind: type[BaseException]) -> str:
    # Ours are known by the package that exports them, wherever in it they are defined.
    module = errors.__name__ if issubclass(kind, errors.CutstreamError) else kind.__module__
    return f"{module}.{kind.__qualname__}"


def _structured(value: bytes) -> _StructuredEvent:
    value = without_bom(value)
    try:
        event = _event_decoder.decode(value)
    except msgspec.ValidationError as exc:
        raise errors.InvalidRequest(f"CloudEvent: {explain(exc, CloudEvent)}") from exc
    except DECODE_ERRORS as exc:
        raise errors.InvalidRequest(f"CloudEvent: {explain_unreadable(value, exc)}") from exc
    if event.data_base64 is not None and bytes(event.data) not in (b"", b"null"):
        raise errors.InvalidRequest("CloudEvent: has both `data` and `data_base64`: send the request in one of them")
    return event


def _is_binary_event(headers: dict[str, bytes]) -> bool:
    """Return whether a record claims to be an event, although an attribute that every event has may be missing."""
    return any(f"ce_{name}" in headers for name in _REQUIRED)


def _binary(headers: dict[str, bytes]) -> CloudEvent:
    try:
        attributes = {name: headers[f"ce_{name}"].decode() for name in _REQUIRED if f"ce_{name}" in headers}
        for name in ("traceparent", "tracestate"):  # dropped if it is malformed
            attributes[name] = headers.get(f"ce_{name}", b"").decode(errors="replace")
        return msgspec.convert(attributes, CloudEvent)
    except msgspec.ValidationError as exc:
        raise errors.InvalidRequest(f"CloudEvent headers (ce_*): {explain(exc, CloudEvent)}") from exc
    except UnicodeDecodeError as exc:
        raise errors.InvalidRequest(f"CloudEvent headers (ce_*): not UTF-8: {exc}") from exc


def _broken_envelope(value: bytes, headers: dict[str, bytes]) -> Envelope:
    trace = _header_trace(headers)
    if _is_binary_event(headers) and _content_type(headers) != STRUCTURED:
        id = None
        with suppress(msgspec.ValidationError, UnicodeDecodeError):
            id = msgspec.convert(headers.get("ce_id", b"").decode(), AnyId)
        return Envelope(value, id, trace)
    try:
        event = _broken_event_decoder.decode(without_bom(value))
        return Envelope(bytes(event.data), _id_of(msgspec.Raw(msgspec.json.encode(event.id))), trace)
    except DECODE_ERRORS:
        return Envelope(b"", None, trace)


def _from_event(event: _StructuredEvent, trace: Trace) -> Envelope:
    payload = bytes(event.data) if event.data_base64 is None else event.data_base64
    return Envelope(payload, event.id, trace or _trace_of(event))


def _header_trace(headers: dict[str, bytes]) -> Trace:
    return _trace(headers.get("traceparent"), headers.get("tracestate"))


def _trace_of(event: CloudEvent) -> Trace:
    return _trace(
        *(text.encode() if isinstance(text, str) and text else None for text in (event.traceparent, event.tracestate))
    )


def _trace(parent: bytes | None, state: bytes | None) -> Trace:
    """Return the trace headers. A malformed parent is dropped with its state, as W3C Trace Context requires.

    They are copied into results, so nothing but their printable ASCII passes.
    """
    if parent is None or len(parent) > _MAX_TRACEPARENT_BYTES or not _TRACEPARENT.fullmatch(parent):
        return ()
    if state is None or not _is_tracestate(state):
        return (("traceparent", parent),)
    return (("traceparent", parent), ("tracestate", state))


def _is_tracestate(state: bytes) -> bool:
    members = [member for part in state.split(b",") if (member := part.strip(b" \t"))]
    return (
        len(state) <= _MAX_TRACESTATE_BYTES
        and 0 < len(members) <= _MAX_TRACESTATE_MEMBERS
        and all(map(_TRACESTATE_MEMBER.fullmatch, members))
    )


def _id_of(raw: msgspec.Raw) -> str | None:
    """Return a text that may identify a result, or a number as its digits. Return None for anything else."""
    id = _decode_or_none(_id_decoder, raw)
    return None if id is None else str(id)


def _content_type(headers: dict[str, bytes]) -> str:
    return headers.get("content-type", b"").decode(errors="replace").split(";")[0].strip().lower()


def _decode_or_none(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw) -> T | None:
    try:
        return decoder.decode(raw)
    except DECODE_ERRORS:
        return None
