"""What several calls share: the schemas of bodies, and the answers of calls that fail."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from cutstream.compositing.specs import OutputName
from cutstream.contract.messages import Choice, Request, ServedModel, Status
from cutstream.contract.schemas import clean_descriptions
from producer.gateway.openapi.parts import (
    FLAG,
    NUMBER,
    RATE_HEADERS,
    RETRY,
    TEXT,
    TIME,
    WHOLE,
    field,
    headers,
    object_of,
    ref,
)

_CAUSE = "With `expired`: code of the error for which there would have been another attempt."


def schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(
        (Request, ServedModel, Choice), ref_template="#/components/schemas/{name}"
    )
    requests = {name: clean_descriptions(schema) for name, schema in schemas.items()}
    statuses = ["waiting", *get_args(Status)]
    fields: dict[str, Any] = {name: s for name, s in requests["Request"]["properties"].items() if name != "replay"}
    own_id = "Your own id of the photo, which its results repeat. No two photos of a job have the same."
    fields["id"] = {**fields["id"], "description": own_id}
    error = object_of({"title": TEXT, "code": TEXT, "detail": TEXT}, "title", "code")
    output = {
        "output": {"enum": list(get_args(OutputName))},
        "url": field(TEXT, "Path to fetch it from."),
        "bytes": WHOLE,
        "sha256": TEXT,
        "width": WHOLE,
        "height": WHOLE,
        "media_type": TEXT,
    }
    failure = {
        "code": TEXT,
        "message": TEXT,
        "stage": field(TEXT, "Stage of the pipeline that failed, or `request` for a request that was refused."),
        "retryable": FLAG,
    }
    photo = {
        "number": WHOLE,
        "id": field(TEXT, "The id that you gave it, or else that of its request in the stream."),
        "request_id": field(TEXT, "Id of its request in the stream, which logs and dead letters have."),
        "image": field(TEXT, "Its address, or the name of the uploaded file."),
        "status": {"enum": statuses},
        "labels": {"type": "object", "additionalProperties": TEXT},
        "deadline": field(TIME, "Time after which it ends as `expired`."),
        "outputs": {"type": "array", "items": object_of(output, *output)},
        **{f"foreground_{name}": WHOLE for name in ("top", "left", "width", "height")},
        "profile": TEXT,
        "coverage": {"type": ["number", "null"]},
        "uncertainty": {"type": ["number", "null"]},
        "model": ref("ServedModel"),
        "choice": ref("Choice"),
        "timings_ms": {
            "type": "object",
            "additionalProperties": NUMBER,
            "description": "Milliseconds of work in each stage, without waiting.",
        },
        "attempts": field(WHOLE, "Attempts to process its request."),
        "warnings": {"type": "array", "items": object_of({"code": TEXT, "message": TEXT}, "code", "message")},
        "error": object_of({**failure, "cause": field(TEXT, _CAUSE)}, *failure),
    }
    seen_at_once = ("number", "id", "request_id", "image", "status", "labels")
    job = {
        "id": TEXT,
        "status": {"enum": ["running", "cancelling", "done"]},
        "created": TIME,
        "finished": {"anyOf": [TIME, {"type": "null"}]},
        "expires": {"anyOf": [TIME, {"type": "null"}], "description": "When it is removed with its outputs."},
        "urgent": FLAG,
        "count": field(WHOLE, "Its photos."),
        "waiting": field(WHOLE, "Those without a result."),
        "results": {"type": "object", "additionalProperties": WHOLE, "description": "The others, by status."},
        "webhook": {"anyOf": [object_of({"url": TEXT, "status": TEXT}, "url", "status"), {"type": "null"}]},
    }
    job_required = [name for name in job if name != "results"]
    order = {
        "image": {"type": ["string", "null"]},
        "images": {"type": "array", "items": TEXT},
        "requests": {"type": "array", "items": ref("RequestFields")},
        "options": ref("Options"),
        "labels": {"type": "object", "additionalProperties": TEXT},
        "webhook": {"type": ["string", "null"]},
        "urgent": FLAG,
    }
    credits = {name: NUMBER for name in ("total", "subscription", "payg", "enterprise")}
    attributes = {
        "credits": object_of(credits, *credits),
        "api": object_of({"free_calls": WHOLE, "sizes": TEXT}, "free_calls", "sizes"),
    }
    data = object_of({"attributes": object_of(attributes, *attributes)}, "attributes")
    result = {
        "result_b64": field(TEXT, "The picture in base64."),
        **{f"foreground_{name}": WHOLE for name in ("top", "left", "width", "height")},
    }
    return {
        **{name: schema for name, schema in requests.items() if name != "Request"},
        "RequestFields": {**object_of(fields, "image"), "additionalProperties": False},
        "Options": {
            **object_of({name: schema for name, schema in fields.items() if name != "image"}),
            "additionalProperties": False,
        },
        "JobOrder": {**object_of(order), "additionalProperties": False},
        "Job": object_of(job, *job_required),
        "JobAndPhotos": {
            "allOf": [
                ref("Job"),
                object_of({"photos": {"type": "array", "items": ref("Photo")}}, "photos"),
            ]
        },
        "Photo": object_of(photo, *seen_at_once),
        "Account": object_of({"data": data}, "data"),
        "RemoveBgResult": object_of({"data": object_of(result, "result_b64")}, "data"),
        "Errors": object_of({"errors": {"type": "array", "items": error, "minItems": 1}}, "errors"),
    }


def responses() -> dict[str, Any]:
    id = {"X-Request-Id": field(TEXT, "Id of the request in the stream, if it got there.")}
    errors = {"application/json": {"schema": ref("Errors")}}
    detail = object_of({"detail": TEXT}, "detail")
    item = object_of({"loc": {"type": "array", "items": TEXT}, "msg": TEXT, "type": TEXT}, "loc", "msg", "type")
    details = object_of({"detail": {"type": "array", "items": item}}, "detail")
    return {
        "Error": {"description": "It failed, and says why.", "headers": headers(id), "content": errors},
        "Later": {
            "description": "Not now: try again later.",
            "headers": headers({**id, **RETRY, **RATE_HEADERS}),
            "content": errors,
        },
        "RembgError": {
            "description": "It failed.",
            "headers": headers({**id, **RETRY, **RATE_HEADERS}),
            "content": {"application/json": {"schema": detail}},
        },
        "RembgInvalid": {"description": "A wrong parameter.", "content": {"application/json": {"schema": details}}},
    }
