"""The calls about jobs."""

from __future__ import annotations

from typing import Any, get_args

from cutstream.compositing.specs import OutputName
from producer.gateway.openapi.parts import (
    FILE,
    FLAG,
    RATE_HEADERS,
    TEXT,
    WHOLE,
    errors,
    field,
    headers,
    object_of,
    operation,
    pictures,
    ref,
)


def job_paths() -> dict[str, Any]:
    job = {"application/json": {"schema": ref("Job")}}
    limits = headers(RATE_HEADERS)
    location = {"Location": {"schema": field(TEXT, "Path of the job.")}}
    id = {"name": "id", "in": "path", "required": True, "schema": TEXT}
    number = {"name": "number", "in": "path", "required": True, "schema": WHOLE}
    output = {"name": "output", "in": "path", "required": True, "schema": {"enum": list(get_args(OutputName))}}
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": field({"type": "string", "minLength": 1, "maxLength": 255}, "The same job is made once."),
    }
    texts = {
        "options": field(TEXT, "JSON object of request fields."),
        "labels": field(TEXT, "JSON object of texts."),
        "webhook": TEXT,
        "urgent": FLAG,
    }
    body = {
        "required": True,
        "content": {
            "application/json": {"schema": ref("JobOrder")},
            "multipart/form-data": {
                "schema": object_of(
                    {
                        "image_file": {"type": "array", "items": FILE},
                        "bg_image_file": field(FILE, "A background picture for all photos of the job."),
                        **texts,
                    },
                    "image_file",
                )
            },
            "text/csv": {"schema": field(TEXT, "One address a row, or a first row of field names.")},
        },
    }
    csv_query = [{"name": name, "in": "query", "schema": schema} for name, schema in texts.items()]
    taken = {"description": "The job is stored.", "headers": {**limits, **location}, "content": job}
    known = {"description": "The job of this Idempotency-Key.", "headers": {**limits, **location}, "content": job}
    shown = {
        "description": "The job and its photos.",
        "content": {"application/json": {"schema": ref("JobAndPhotos")}},
    }
    listed = {
        "description": "The newest jobs.",
        "content": {
            "application/json": {"schema": object_of({"jobs": {"type": "array", "items": ref("Job")}}, "jobs")}
        },
    }
    paging = [
        {"name": "after", "in": "query", "schema": field({"type": "integer", "minimum": 0}, "Photos behind this.", 0)},
        {
            "name": "limit",
            "in": "query",
            "schema": field({"type": "integer", "minimum": 0, "maximum": 1000}, "Most photos.", 100),
        },
    ]
    resumed = {"name": "Last-Event-ID", "in": "header", "schema": field(TEXT, "Id of the last event that came.")}
    stream = {
        "description": "Events `photo` and `done`.",
        "headers": headers({"X-Accel-Buffering": TEXT}),
        "content": {"text/event-stream": {"schema": TEXT}},
    }
    wrong = errors("403", "404")
    return {
        "/v1/jobs": {
            "post": {
                **operation(
                    "submitJob",
                    "Take a job of one photo or many",
                    {
                        "200": known,
                        "202": taken,
                        **errors("400", "403", "408", "413", "415", "422", "429", "503"),
                    },
                    body,
                ),
                "parameters": [key, *csv_query],
            },
            "get": operation("listJobs", "List the client's newest 100 jobs", {"200": listed, **errors("403")}),
        },
        "/v1/jobs/{id}": {
            "parameters": [id],
            "get": {
                **operation("showJob", "Show a job", {"200": shown, **errors("400", "403", "404")}),
                "parameters": paging,
            },
            "delete": operation(
                "cancelJob",
                "Call a job off",
                {"202": {"description": "It is being called off.", "content": job}, **errors("403", "404", "503")},
            ),
        },
        "/v1/jobs/{id}/events": {
            "parameters": [id],
            "get": {
                **operation("followJob", "Follow a job", {"200": stream, **errors("400", "403", "404")}),
                "parameters": [resumed],
            },
        },
        "/v1/jobs/{id}/photos/{number}": {
            "parameters": [id, number],
            "delete": operation(
                "cancelPhoto",
                "Call one photo of a job off",
                {
                    "202": {
                        "description": "It is being called off, unless it has finished: the photo as it is now.",
                        "content": {"application/json": {"schema": ref("Photo")}},
                    },
                    **wrong,
                    **errors("503"),
                },
            ),
        },
        "/v1/jobs/{id}/photos/{number}/{output}": {
            "parameters": [id, number, output],
            "get": operation(
                "fetchOutput",
                "Fetch an output",
                {
                    "200": {
                        "description": "The picture.",
                        "headers": headers({"X-Width": WHOLE, "X-Height": WHOLE}),
                        "content": pictures(),
                    },
                    "307": {"description": "Its signed address.", "headers": location},
                    **wrong,
                    **errors("410", "502", "503"),
                },
            ),
        },
    }
