"""The AsyncAPI document: the topics, the messages on them, their keys and their headers."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from cutstream import __version__
from cutstream.contract import redelivery
from cutstream.contract.dead_letters import MARK_PREFIX, Closing
from cutstream.contract.envelope import DEAD_LETTER_PREFIX, REQUEST_TYPE, RESULT_SOURCE, RESULT_TYPE, STRUCTURED
from cutstream.contract.ids import MAX_ID_CHARACTERS
from cutstream.contract.messages import Request, Result
from cutstream.contract.reading.spellings import state_spellings
from cutstream.contract.schemas import REQUESTS, RESULTS, clean_descriptions
from cutstream.settings import Settings

BINDING = "0.5.0"

READ_COMMITTED = (
    "Read with `isolation_level=read_committed`. Other readers also see the records of aborted transactions, "
    "and several clients read uncommitted records by default."
)
_INTRODUCTION = (
    "A request names an image. Its outputs are stored as objects. Each request gets exactly one result record, which "
    "names them.\n\n"
    "A record key only decides the partition, and a result has the key of its request. Without keys, requests spread "
    "evenly.\n\n" + READ_COMMITTED
)
_TRACE = {"traceparent": "W3C Trace Context. The result has the same.", "tracestate": "Belongs to `traceparent`."}
REQUEST_HEADERS = {
    "ce_specversion": "`1.0`",
    "ce_id": "Id of the event. Becomes the request's id if the request has none.",
    "ce_source": "Origin of the request.",
    "ce_type": f"For instance `{REQUEST_TYPE}`. Any type is accepted.",
    **_TRACE,
}
RESULT_HEADERS = {
    "ce_specversion": "`1.0`",
    "ce_id": "The request's id, byte for byte.",
    "ce_source": f"`{RESULT_SOURCE}`, and `{RESULT_SOURCE}:replay:1` for the first replay, and so on.",
    "ce_type": f"`{RESULT_TYPE}`",
    "ce_time": "Time of the result, RFC 3339.",
    "ce_subject": "The request's id.",
    "content-type": "`application/json`",
    **_TRACE,
}
DEAD_LETTER_HEADERS = {
    DEAD_LETTER_PREFIX + name: text
    for name, text in {
        "request-id": "Id of the failed result.",
        "topic": "Topic of the request.",
        "partition": "Partition of the request, decimal.",
        "offset": "Offset of the request, decimal.",
        "timestamp": "Timestamp of the request, in milliseconds since the Unix epoch.",
        "code": "Error code of the result.",
        "stage": "Stage that failed.",
        "exception.class.name": "Class of the error.",
        "exception.message": "Error message of the result.",
        "cut-from-bytes": "Size of a record that was too large to be kept whole. 0: it is unchanged.",
    }.items()
}
MARK_HEADERS = {
    MARK_PREFIX + name: text
    for name, text in {
        "closing": f"How the letter was closed: {', '.join(f'`{name}`' for name in get_args(Closing))}.",
        "offset": "Offset of the letter, in the partition of the mark, decimal.",
        "request-id": "Id of the request.",
        "replay": "The `replay` of the result that the replay will have; else the letter's own.",
    }.items()
}
REDELIVERY_HEADERS = {
    redelivery.PREFIX + name: text
    for name, text in {
        "topic": "Topic of the first record of the request.",
        "partition": "Its partition, decimal.",
        "offset": "Its offset, decimal.",
        "timestamp": "Its timestamp, in milliseconds since the Unix epoch.",
        "attempts": "Attempts before this delivery.",
        "not-before": "When the request is due, in milliseconds since the Unix epoch. 0: at once.",
        "replay": "Replays of this request from the dead letters.",
        "untried": "Deliveries at which its source was not tried. Older releases leave it out.",
    }.items()
}
_EVENT_EXAMPLE = {
    "specversion": "1.0",
    "id": "a1b2",
    "source": "/shop",
    "type": REQUEST_TYPE,
    "data": {"image": "s3://photos/chair.jpg"},
}
_KEY = {"kafka": {"key": {"type": "string", "description": "The request's key."}, "bindingVersion": BINDING}}


def asyncapi(settings: Settings) -> dict[str, Any]:
    """Return the document for the deployment that `settings` describe."""
    kafka = settings.kafka
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "cutstream",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": f"127.0.0.1:{settings.stack.kafka_port}",
                "protocol": "kafka",
                "description": "The broker of the local stack.",
            }
        },
        "channels": {
            "requests": _channel(
                kafka.requests_topic, "Requests for the outputs of an image.", "request", "requestEvent"
            ),
            "urgentRequests": _channel(
                kafka.urgent_topic, "Requests that are read before all others.", "request", "requestEvent"
            ),
            "results": _channel(kafka.results_topic, "One result per request. " + READ_COMMITTED, "result"),
            "deadLetters": _channel(
                kafka.dead_letters_topic,
                "The unchanged record of every failed request, and marks that close letters. " + READ_COMMITTED,
                "deadLetter",
                "mark",
            ),
        },
        "operations": {
            "receiveRequests": _operation(
                "receive", "requests", "All workers are in one consumer group and share the requests.", kafka.group
            ),
            "receiveUrgentRequests": _operation(
                "receive", "urgentRequests", "The same group reads them before all others.", kafka.group
            ),
            "sendResults": _operation(
                "send", "results", "Sent in the transaction that commits the offset of the request."
            ),
            "sendDeadLetters": _operation("send", "deadLetters", "Sent in the same transaction as the failed result."),
        },
        "components": {"messages": _messages(), "schemas": _component_schemas()},
    }


def _channel(topic: str, description: str, *messages: str) -> dict[str, Any]:
    return {
        "address": topic,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": BINDING}},
    }


def _operation(action: str, channel: str, summary: str, group: str | None = None) -> dict[str, Any]:
    binding = {"groupId": {"type": "string", "enum": [group]}} if group else {}
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "bindings": {"kafka": {**binding, "bindingVersion": BINDING}},
    }


def _messages() -> dict[str, Any]:
    return {
        "request": _message(
            "A request as plain JSON or as a CloudEvent in binary mode.",
            "Request",
            REQUEST_HEADERS,
            _examples(REQUESTS),
        ),
        "requestEvent": _message(
            f"A request as a CloudEvent in structured mode, with the header `content-type: {STRUCTURED}`.",
            "RequestEvent",
            {"content-type": f"`{STRUCTURED}`", **_TRACE},
            [{"name": "event", "payload": _EVENT_EXAMPLE}],
            STRUCTURED,
        ),
        "result": _message("A result as a CloudEvent in binary mode.", "Result", RESULT_HEADERS, _examples(RESULTS)),
        "deadLetter": {
            "summary": "The key, value and headers of the request, followed by headers with its origin and its error.",
            "contentType": "application/octet-stream",
            "headers": _headers(DEAD_LETTER_HEADERS),
            "payload": {"description": "The bytes of the request, which need not be JSON."},
            "bindings": _KEY,
        },
        "mark": {
            "summary": "Closes a dead letter of the same partition. It has no key, and its value is empty.",
            "contentType": "application/octet-stream",
            "headers": _headers(MARK_HEADERS),
            "payload": {"description": "Empty."},
        },
    }


def _message(
    summary: str,
    schema: str,
    headers: dict[str, str],
    examples: list[dict[str, Any]],
    content_type: str = "application/json",
) -> dict[str, Any]:
    return {
        "summary": summary,
        "contentType": content_type,
        "headers": _headers(headers),
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "examples": examples,
        "bindings": _KEY,
    }


def _headers(descriptions: dict[str, str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in descriptions.items()}
    return {"type": "object", "properties": properties}


def _examples(messages: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "payload": msgspec.to_builtins(message)} for name, message in messages.items()]


def _component_schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components((Request, Result), ref_template="#/components/schemas/{name}")
    data = {"$ref": "#/components/schemas/Request"}
    event = {
        "description": "A CloudEvent 1.0 in structured mode. `data` or `data_base64` holds the request.",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS},
            "source": {"type": "string", "minLength": 1},
            "type": {"type": "string", "minLength": 1},
            "traceparent": {"description": "Left out of the result if it is malformed."},
            "tracestate": {"description": "Belongs to `traceparent`."},
            "data": data,
            "data_base64": {"type": "string", "contentEncoding": "base64"},
        },
        "required": ["specversion", "id", "source", "type"],
        "anyOf": [{"required": ["data"]}, {"required": ["data_base64"]}],
    }
    return {
        "RequestEvent": event,
        **{name: state_spellings(clean_descriptions(schema)) for name, schema in schemas.items()},
    }
