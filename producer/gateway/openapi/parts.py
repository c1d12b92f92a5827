"""What descriptions of calls are put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
FLAG: dict[str, Any] = {"type": "boolean"}
FILE: dict[str, Any] = {"type": "string", "contentMediaType": "application/octet-stream"}
TIME: dict[str, Any] = {"type": "string", "format": "date-time"}


def field(schema: Mapping[str, Any], description: str, default: Any = None) -> dict[str, Any]:
    return {**schema, "description": description, **({} if default is None else {"default": default})}


PICTURE_HEADERS: dict[str, Any] = {
    "X-Width": field(WHOLE, "Width of the picture in px."),
    "X-Height": field(WHOLE, "Height of the picture in px."),
    "X-Foreground-Top": field(WHOLE, "Top of the subject in px of the upright source."),
    "X-Foreground-Left": field(WHOLE, "Its left side."),
    "X-Foreground-Width": field(WHOLE, "Its width."),
    "X-Foreground-Height": field(WHOLE, "Its height."),
    "X-Request-Id": field(TEXT, "Id of the request in the stream."),
    "X-Profile": field(TEXT, "Profile that found the subject."),
    "X-Uncertainty-Score": field(NUMBER, "0 is certain, 1 is undecided everywhere."),
}
RATE_HEADERS: dict[str, Any] = {
    "X-RateLimit-Limit": field(WHOLE, "Photos a minute that the key may send."),
    "X-RateLimit-Remaining": field(WHOLE, "Those that are left."),
    "X-RateLimit-Reset": field(WHOLE, "Unix time at which the next minute begins."),
}
RETRY = {"Retry-After": field(WHOLE, "Seconds after which to try again.")}


def operation(
    id: str, summary: str, responses: Mapping[str, Any], body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "operationId": id,
        "summary": summary,
        **({} if body is None else {"requestBody": body}),
        "responses": dict(responses),
    }


def errors(*statuses: str) -> dict[str, Any]:
    later = ("429", "503", "504")
    return {
        status: {"$ref": f"#/components/responses/{'Later' if status in later else 'Error'}"} for status in statuses
    }


def pictures() -> dict[str, Any]:
    return {kind: {"schema": {}} for kind in ("image/png", "image/jpeg", "image/webp", "application/zip")}


def headers(schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"schema": schema} for name, schema in schemas.items()}


def object_of(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": list(required)} if required else {}),
    }


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
