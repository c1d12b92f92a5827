"""The OpenAPI 3.1 document of the gateway, served at `/openapi.json` and written to docs/openapi.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from cutstream import __version__
from cutstream.compositing.specs import OutputName
from cutstream.contract.messages import Choice, Request, ServedModel, Status
from cutstream.contract.schemas import clean_descriptions
from producer.gateway.profiles import MODELS
from producer.gateway.removebg_options import TYPES

_TEXT: dict[str, Any] = {"type": "string"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_NUMBER: dict[str, Any] = {"type": "number"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_FILE: dict[str, Any] = {"type": "string", "contentMediaType": "application/octet-stream"}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}

_INTRODUCTION = (
    "Background removal over a Kafka stream. The calls below `/v1.0` are those of remove.bg, `/api/remove` is that of "
    "rembg's server, and `/v1/jobs` takes many photos whose results are fetched later. docs/http.md explains them."
)


def _field(schema: Mapping[str, Any], description: str, default: Any = None) -> dict[str, Any]:
    return {**schema, "description": description, **({} if default is None else {"default": default})}


_REMOVEBG_FIELDS: dict[str, Any] = {
    "image_file_b64": _field(_TEXT, "The photo in base64, with or without a `data:` prefix."),
    "image_url": _field(_TEXT, "The photo's http(s) address."),
    "size": _field(
        {"enum": ["preview", "small", "regular", "medium", "hd", "full", "4k", "50MP", "auto"]},
        "Largest output: 0.25 megapixels for `preview`, 1.5 for `medium`, 4 for `hd`, the photo's own for the others.",
        "preview",
    ),
    "type": _field({"enum": list(TYPES)}, "What the subject is. It may choose a profile.", "auto"),
    "type_level": _field({"enum": ["none", "1", "2", "latest"]}, "`none` leaves `X-Type` out.", "1"),
    "format": _field(
        {"enum": ["auto", "png", "jpg", "webp", "zip"]}, "`auto`: PNG if something is transparent, else JPEG.", "auto"
    ),
    "roi": _field(_TEXT, "Region of interest, `x1 y1 x2 y2` in px or %."),
    "crop": _field(_FLAG, "Crop to the subject.", False),
    "crop_margin": _field(_TEXT, "Margin around the cropped subject: 1, 2 or 4 values in px or %."),
    "scale": _field(_TEXT, "`original`, or the subject's size from 10% to 100% of the canvas.", "original"),
    "position": _field(_TEXT, "`original`, `center`, or one or two percentages.", "original"),
    "channels": _field({"enum": ["rgba", "alpha"]}, "The cutout, or its alpha as a grey picture.", "rgba"),
    "add_shadow": _field(_FLAG, "Short for `shadow_type=auto`.", False),
    "shadow_type": _field({"enum": ["none", "auto", "car", "drop", "3D"]}, "Shadow of the subject.", "none"),
    "shadow_opacity": _field({"type": "number", "minimum": 0, "maximum": 100}, "Its opacity in %.", 50),
    "semitransparency": _field(_FLAG, "Accepted, and of no effect: the alpha is as soft as the matte.", True),
    "bg_color": _field(_TEXT, "Background colour: 3, 4, 6 or 8 hexadecimal digits, or a name."),
    "bg_image_url": _field(_TEXT, "http(s) address of a background picture."),
}
_MULTIPART_FIELDS: dict[str, Any] = {
    "image_file": _field(_FILE, "The photo."),
    "bg_image_file": _field(_FILE, "A background picture."),
}
_IMPROVE_FIELDS: dict[str, Any] = {
    **{name: _REMOVEBG_FIELDS[name] for name in ("image_file_b64", "image_url")},
    "image_filename": _field(_TEXT, "Ignored."),
    "tag": _field(_TEXT, "Ignored."),
}
_REMBG_FIELDS: dict[str, Any] = {
    "model": _field({"type": "string", "examples": sorted(MODELS)}, "A model of rembg, or a profile.", "u2net"),
    "a": _field(_FLAG, "Alpha matting.", False),
    "af": _field({"type": "integer", "minimum": 0, "maximum": 255}, "Accepted, and of no effect.", 240),
    "ab": _field({"type": "integer", "minimum": 0, "maximum": 255}, "Accepted, and of no effect.", 10),
    "ae": _field({"type": "integer", "minimum": 0}, "Half the width of the band for matting.", 10),
    "om": _field(_FLAG, "Only the mask.", False),
    "ppm": _field(_FLAG, "Post-process the mask.", False),
    "bgc": _field(_TEXT, "Background colour, `red,green,blue,alpha`."),
}
_PICTURE_HEADERS: dict[str, Any] = {
    "X-Width": _field(_WHOLE, "Width of the picture in px."),
    "X-Height": _field(_WHOLE, "Height of the picture in px."),
    "X-Foreground-Top": _field(_WHOLE, "Top of the subject in px of the upright source."),
    "X-Foreground-Left": _field(_WHOLE, "Its left side."),
    "X-Foreground-Width": _field(_WHOLE, "Its width."),
    "X-Foreground-Height": _field(_WHOLE, "Its height."),
    "X-Request-Id": _field(_TEXT, "Id of the request in the stream."),
    "X-Profile": _field(_TEXT, "Profile that found the subject."),
    "X-Uncertainty-Score": _field(_NUMBER, "0 is certain, 1 is undecided everywhere."),
}
_RATE_HEADERS: dict[str, Any] = {
    "X-RateLimit-Limit": _field(_WHOLE, "Photos a minute that the key may send."),
    "X-RateLimit-Remaining": _field(_WHOLE, "Those that are left."),
    "X-RateLimit-Reset": _field(_WHOLE, "Unix time at which the next minute begins."),
}
_RETRY = {"Retry-After": _field(_WHOLE, "Seconds after which to try again.")}


def openapi(prefix: str = "", with_keys: bool = True) -> dict[str, Any]:
    """Return the document of a gateway that is published below `prefix`, and that asks for keys or not."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "cutstream",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix or "/"}],
        **({"security": [{"key": []}, {"bearer": []}]} if with_keys else {}),
        "paths": {**_removebg_paths(), **_rembg_paths(), **_job_paths(), **_own_paths()},
        "components": {
            "schemas": _schemas(),
            "responses": _responses(),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(document))  # lists in place of the tuples of defaults
    return plain


def _removebg_paths() -> dict[str, Any]:
    picture = {
        "description": "The picture, or JSON with it for `Accept: application/json`.",
        "headers": _headers({"X-Credits-Charged": _NUMBER, "X-Type": _TEXT, **_PICTURE_HEADERS, **_RATE_HEADERS}),
        "content": {**_pictures(), "application/json": {"schema": _ref("RemoveBgResult")}},
    }
    account = {"description": "The account.", "content": {"application/json": {"schema": _ref("Account")}}}
    improved = {
        "description": "The photo is kept.",
        "content": {"application/json": {"schema": _object({"id": _TEXT}, "id")}},
    }
    return {
        "/v1.0/removebg": {
            "post": _operation(
                "removebg",
                "Remove the background of a photo",
                {"200": picture, **_errors("400", "403", "413", "415", "429", "500", "502", "503", "504")},
                _form({**_REMOVEBG_FIELDS}, _MULTIPART_FIELDS),
            )
        },
        "/v1.0/account": {
            "get": _operation("account", "Show an account with endless credits", {"200": account, **_errors("403")})
        },
        "/v1.0/improve": {
            "post": _operation(
                "improve",
                "Hand in a photo that was cut out badly",
                {"200": improved, **_errors("400", "403", "413", "415", "429", "501", "503")},
                _form(_IMPROVE_FIELDS, {"image_file": _MULTIPART_FIELDS["image_file"]}),
            )
        },
    }


def _rembg_paths() -> dict[str, Any]:
    picture = {
        "description": "The picture.",
        "headers": _headers(_PICTURE_HEADERS),
        "content": {"image/png": {"schema": {}}},
    }
    query = [{"name": name, "in": "query", "schema": schema} for name, schema in _REMBG_FIELDS.items()]
    url = {"name": "url", "in": "query", "required": True, "schema": _field(_TEXT, "The photo's http(s) address.")}
    wrong = {
        status: {"$ref": f"#/components/responses/Rembg{'Invalid' if status == '422' else 'Error'}"}
        for status in ("400", "403", "413", "415", "422", "429", "500", "502", "503", "504")
    }
    body = {
        "required": True,
        "content": {"multipart/form-data": {"schema": _object({"file": _FILE, **_REMBG_FIELDS}, "file")}},
    }
    from_url = _operation("rembgFromUrl", "Remove the background of a photo by its address", {"200": picture, **wrong})
    from_file = _operation("rembgFromFile", "Remove the background of a photo", {"200": picture, **wrong}, body)
    return {
        "/api/remove": {"get": {**from_url, "parameters": [url, *query]}, "post": {**from_file, "parameters": query}}
    }


def _job_paths() -> dict[str, Any]:
    job = {"application/json": {"schema": _ref("Job")}}
    limits = _headers(_RATE_HEADERS)
    location = {"Location": {"schema": _field(_TEXT, "Path of the job.")}}
    id = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
    number = {"name": "number", "in": "path", "required": True, "schema": _WHOLE}
    output = {"name": "output", "in": "path", "required": True, "schema": {"enum": list(get_args(OutputName))}}
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": _field({"type": "string", "minLength": 1, "maxLength": 255}, "The same job is made once."),
    }
    texts = {
        "options": _field(_TEXT, "JSON object of request fields."),
        "labels": _field(_TEXT, "JSON object of texts."),
        "webhook": _TEXT,
        "urgent": _FLAG,
    }
    body = {
        "required": True,
        "content": {
            "application/json": {"schema": _ref("JobOrder")},
            "multipart/form-data": {
                "schema": _object(
                    {
                        "image_file": {"type": "array", "items": _FILE},
                        "bg_image_file": _field(_FILE, "A background picture for all photos of the job."),
                        **texts,
                    },
                    "image_file",
                )
            },
            "text/csv": {"schema": _field(_TEXT, "One address a row, or a first row of field names.")},
        },
    }
    csv_query = [{"name": name, "in": "query", "schema": schema} for name, schema in texts.items()]
    taken = {"description": "The job is stored.", "headers": {**limits, **location}, "content": job}
    known = {"description": "The job of this Idempotency-Key.", "headers": {**limits, **location}, "content": job}
    shown = {
        "description": "The job and its photos.",
        "content": {"application/json": {"schema": _ref("JobAndPhotos")}},
    }
    listed = {
        "description": "The newest jobs.",
        "content": {"application/json": {"schema": _object({"jobs": {"type": "array", "items": _ref("Job")}}, "jobs")}},
    }
    paging = [
        {"name": "after", "in": "query", "schema": _field({"type": "integer", "minimum": 0}, "Photos behind this.", 0)},
        {
            "name": "limit",
            "in": "query",
            "schema": _field({"type": "integer", "minimum": 0, "maximum": 1000}, "Most photos.", 100),
        },
    ]
    resumed = {"name": "Last-Event-ID", "in": "header", "schema": _field(_TEXT, "Id of the last event that came.")}
    stream = {
        "description": "Events `photo` and `done`.",
        "headers": _headers({"X-Accel-Buffering": _TEXT}),
        "content": {"text/event-stream": {"schema": _TEXT}},
    }
    wrong = _errors("403", "404")
    return {
        "/v1/jobs": {
            "post": {
                **_operation(
                    "submitJob",
                    "Take a job of one photo or many",
                    {
                        "200": known,
                        "202": taken,
                        **_errors("400", "403", "413", "415", "422", "429", "503"),
                    },
                    body,
                ),
                "parameters": [key, *csv_query],
            },
            "get": _operation("listJobs", "List the client's newest 100 jobs", {"200": listed, **_errors("403")}),
        },
        "/v1/jobs/{id}": {
            "parameters": [id],
            "get": {
                **_operation("showJob", "Show a job", {"200": shown, **_errors("400", "403", "404")}),
                "parameters": paging,
            },
            "delete": _operation(
                "cancelJob",
                "Call a job off",
                {"202": {"description": "It is being called off.", "content": job}, **_errors("403", "404", "503")},
            ),
        },
        "/v1/jobs/{id}/events": {
            "parameters": [id],
            "get": {
                **_operation("followJob", "Follow a job", {"200": stream, **_errors("400", "403", "404")}),
                "parameters": [resumed],
            },
        },
        "/v1/jobs/{id}/photos/{number}/{output}": {
            "parameters": [id, number, output],
            "get": _operation(
                "fetchOutput",
                "Fetch an output",
                {
                    "200": {
                        "description": "The picture.",
                        "headers": _headers({"X-Width": _WHOLE, "X-Height": _WHOLE}),
                        "content": _pictures(),
                    },
                    "307": {"description": "Its signed address.", "headers": location},
                    **wrong,
                    **_errors("502", "503"),
                },
            ),
        },
    }


def _own_paths() -> dict[str, Any]:
    checks = {"application/json": {"schema": {"type": "object"}}}
    answers = {"200": {"description": "Yes.", "content": checks}, "503": {"description": "No.", "content": checks}}
    return {
        "/healthz": {"get": {**_operation("healthz", "Does it serve?", answers), "security": []}},
        "/readyz": {"get": {**_operation("readyz", "Does it read results?", answers), "security": []}},
    }


def _schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(
        (Request, ServedModel, Choice), ref_template="#/components/schemas/{name}"
    )
    requests = {name: clean_descriptions(schema) for name, schema in schemas.items()}
    statuses = ["waiting", *get_args(Status)]
    fields: dict[str, Any] = {name: s for name, s in requests["Request"]["properties"].items() if name != "replay"}
    own_id = "Your own id of the photo, which its results repeat. No two photos of a job have the same."
    fields["id"] = {**fields["id"], "description": own_id}
    error = _object({"title": _TEXT, "code": _TEXT, "detail": _TEXT}, "title", "code")
    output = {
        "output": {"enum": list(get_args(OutputName))},
        "url": _field(_TEXT, "Path to fetch it from."),
        "bytes": _WHOLE,
        "sha256": _TEXT,
        "width": _WHOLE,
        "height": _WHOLE,
        "media_type": _TEXT,
    }
    failure = {
        "code": _TEXT,
        "message": _TEXT,
        "stage": _field(_TEXT, "Stage of the pipeline that failed, or `request` for a request that was refused."),
        "retryable": _FLAG,
    }
    photo = {
        "number": _WHOLE,
        "id": _field(_TEXT, "The id that you gave it, or else that of its request in the stream."),
        "request_id": _field(_TEXT, "Id of its request in the stream, which logs and dead letters have."),
        "image": _field(_TEXT, "Its address, or the name of the uploaded file."),
        "status": {"enum": statuses},
        "labels": {"type": "object", "additionalProperties": _TEXT},
        "deadline": _field(_TIME, "Time after which it ends as `expired`."),
        "outputs": {"type": "array", "items": _object(output, *output)},
        **{f"foreground_{name}": _WHOLE for name in ("top", "left", "width", "height")},
        "profile": _TEXT,
        "coverage": {"type": ["number", "null"]},
        "uncertainty": {"type": ["number", "null"]},
        "model": _ref("ServedModel"),
        "choice": _ref("Choice"),
        "timings_ms": {
            "type": "object",
            "additionalProperties": _NUMBER,
            "description": "Milliseconds of work in each stage, without waiting.",
        },
        "attempts": _field(_WHOLE, "Attempts to process its request."),
        "warnings": {"type": "array", "items": _object({"code": _TEXT, "message": _TEXT}, "code", "message")},
        "error": _object(failure, *failure),
    }
    seen_at_once = ("number", "id", "request_id", "image", "status", "labels")
    job = {
        "id": _TEXT,
        "status": {"enum": ["running", "cancelling", "done"]},
        "created": _TIME,
        "finished": {"anyOf": [_TIME, {"type": "null"}]},
        "expires": {"anyOf": [_TIME, {"type": "null"}], "description": "When it is removed with its outputs."},
        "urgent": _FLAG,
        "count": _field(_WHOLE, "Its photos."),
        "waiting": _field(_WHOLE, "Those without a result."),
        "results": {"type": "object", "additionalProperties": _WHOLE, "description": "The others, by status."},
        "webhook": {"anyOf": [_object({"url": _TEXT, "status": _TEXT}, "url", "status"), {"type": "null"}]},
    }
    job_required = [name for name in job if name != "results"]
    order = {
        "image": {"type": ["string", "null"]},
        "images": {"type": "array", "items": _TEXT},
        "requests": {"type": "array", "items": _ref("RequestFields")},
        "options": _ref("Options"),
        "labels": {"type": "object", "additionalProperties": _TEXT},
        "webhook": {"type": ["string", "null"]},
        "urgent": _FLAG,
    }
    credits = {name: _NUMBER for name in ("total", "subscription", "payg", "enterprise")}
    attributes = {
        "credits": _object(credits, *credits),
        "api": _object({"free_calls": _WHOLE, "sizes": _TEXT}, "free_calls", "sizes"),
    }
    data = _object({"attributes": _object(attributes, *attributes)}, "attributes")
    result = {
        "result_b64": _field(_TEXT, "The picture in base64."),
        **{f"foreground_{name}": _WHOLE for name in ("top", "left", "width", "height")},
    }
    return {
        **{name: schema for name, schema in requests.items() if name != "Request"},
        "RequestFields": {**_object(fields, "image"), "additionalProperties": False},
        "Options": {
            **_object({name: schema for name, schema in fields.items() if name != "image"}),
            "additionalProperties": False,
        },
        "JobOrder": {**_object(order), "additionalProperties": False},
        "Job": _object(job, *job_required),
        "JobAndPhotos": {
            "allOf": [
                _ref("Job"),
                _object({"photos": {"type": "array", "items": _object(photo, *seen_at_once)}}, "photos"),
            ]
        },
        "Account": _object({"data": data}, "data"),
        "RemoveBgResult": _object({"data": _object(result, "result_b64")}, "data"),
        "Errors": _object({"errors": {"type": "array", "items": error, "minItems": 1}}, "errors"),
    }


def _responses() -> dict[str, Any]:
    id = {"X-Request-Id": _field(_TEXT, "Id of the request in the stream, if it got there.")}
    errors = {"application/json": {"schema": _ref("Errors")}}
    detail = _object({"detail": _TEXT}, "detail")
    item = _object({"loc": {"type": "array", "items": _TEXT}, "msg": _TEXT, "type": _TEXT}, "loc", "msg", "type")
    details = _object({"detail": {"type": "array", "items": item}}, "detail")
    return {
        "Error": {"description": "It failed, and says why.", "headers": _headers(id), "content": errors},
        "Later": {
            "description": "Not now: try again later.",
            "headers": _headers({**id, **_RETRY, **_RATE_HEADERS}),
            "content": errors,
        },
        "RembgError": {
            "description": "It failed.",
            "headers": _headers({**id, **_RETRY, **_RATE_HEADERS}),
            "content": {"application/json": {"schema": detail}},
        },
        "RembgInvalid": {"description": "A wrong parameter.", "content": {"application/json": {"schema": details}}},
    }


def _errors(*statuses: str) -> dict[str, Any]:
    later = ("429", "503", "504")
    return {
        status: {"$ref": f"#/components/responses/{'Later' if status in later else 'Error'}"} for status in statuses
    }


def _operation(
    id: str, summary: str, responses: Mapping[str, Any], body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "operationId": id,
        "summary": summary,
        **({} if body is None else {"requestBody": body}),
        "responses": dict(responses),
    }


def _form(fields: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    plain = {"schema": _object(fields)}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _object({**files, **fields})},
            "application/x-www-form-urlencoded": plain,
            "application/json": plain,
        },
    }


def _pictures() -> dict[str, Any]:
    return {kind: {"schema": {}} for kind in ("image/png", "image/jpeg", "image/webp", "application/zip")}


def _headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"schema": schema} for name, schema in headers.items()}


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": list(required)} if required else {}),
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
