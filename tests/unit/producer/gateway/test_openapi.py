"""The OpenAPI document is valid, and true: real answers of the gateway are what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Route

from cutstream.clients.objects.files import path_of
from cutstream.contract.messages import Choice, ServedModel
from producer.gateway import app
from producer.gateway.openapi import openapi
from tests.support.group import wait_until

PHOTO = {"image_file": b"\xff\xd8 a photo"}
DOCUMENT = openapi()


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_has_exactly_the_routes(serve: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    apps: list[Starlette] = []
    monkeypatch.setattr(app, "with_cors", lambda inner, origins: apps.append(inner) or inner)
    assert serve().client.get("/openapi.json").json() == openapi(with_keys=False)
    (starlette,) = apps
    served = {
        (re.sub(r":\w+", "", route.path), method)
        for route in starlette.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {
        (path, method.upper())
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method in ("get", "post", "delete")
    }
    page = {
        (path, "GET") for path, _ in served if path.endswith((".js", ".css", ".svg")) or path in ("/", "/status.json")
    }
    assert served == described | page | {("/metrics", "GET"), ("/openapi.json", "GET")}


def check(path: str, method: str, answer: httpx.Response) -> None:
    """Assert that an answer is one that the document describes."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, f"{answer.status_code} is not described: {answer.text}"
    response = resolved(responses[str(answer.status_code)])
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in response["content"], f"{kind} is not described"
    if kind == "application/json":
        schema = {**response["content"][kind]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(answer.json())
    unknown = {
        name
        for name in answer.headers
        if name.startswith("x-") and name not in ("x-content-type-options", "x-frame-options")
    } - {name.lower() for name in response.get("headers", {})}
    assert not unknown, f"headers that are not described: {unknown}"


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_real_answers_are_as_described(serve: Callable) -> None:
    served = serve()
    client = served.client
    as_json = {"Accept": "application/json"}
    check("/v1.0/removebg", "post", client.post("/v1.0/removebg", files=PHOTO))
    check("/v1.0/removebg", "post", client.post("/v1.0/removebg", files=PHOTO, headers=as_json))
    check("/v1.0/removebg", "post", client.post("/v1.0/removebg"))
    check("/v1.0/removebg", "post", client.post("/v1.0/removebg", data={"size": "x"}))
    check("/v1.0/account", "get", client.get("/v1.0/account"))
    check("/v1.0/improve", "post", client.post("/v1.0/improve", files=PHOTO))
    check("/api/remove", "post", client.post("/api/remove", files={"file": b"x"}))
    check("/api/remove", "post", client.post("/api/remove", data={"model": "x"}))
    check("/api/remove", "get", client.get("/api/remove"))
    check("/api/remove", "get", client.get("/api/remove", params={"url": "https://example.org/a.jpg"}))
    check("/healthz", "get", client.get("/healthz"))
    check("/readyz", "get", client.get("/readyz"))
    photos = [
        {"image": "https://a.example/1.jpg", "id": "order-7", "deadline": "2030-01-01T00:00:00Z"},
        {"image": "https://a.example/2.jpg"},
    ]
    order = {"requests": photos, "options": {"crop": True}}
    Draft202012Validator({"$ref": "#/components/schemas/JobOrder", "components": DOCUMENT["components"]}).validate(
        order
    )
    key = {"Idempotency-Key": "one"}
    taken = client.post("/v1/jobs", json=order, headers=key)
    check("/v1/jobs", "post", taken)
    check("/v1/jobs", "post", client.post("/v1/jobs", json=order, headers=key))
    check("/v1/jobs", "post", client.post("/v1/jobs", json={**order, "urgent": True}, headers=key))
    check("/v1/jobs", "post", client.post("/v1/jobs", json={}))
    job = f"/v1/jobs/{taken.json()['id']}"
    wait_until(lambda: client.get(job).json()["status"] == "done", "the job is not done")
    check("/v1/jobs", "get", client.get("/v1/jobs"))
    check("/v1/jobs/{id}", "get", client.get(job))
    check("/v1/jobs/{id}", "get", client.get("/v1/jobs/none"))
    check("/v1/jobs/{id}", "get", client.get(job, params={"limit": "x"}))
    check("/v1/jobs/{id}", "delete", client.delete(job))
    check("/v1/jobs/{id}/events", "get", client.get(f"{job}/events"))
    check("/v1/jobs/{id}/photos/{number}/{output}", "get", client.get(f"{job}/photos/1/cutout"))
    check("/v1/jobs/{id}/photos/{number}/{output}", "get", client.get(f"{job}/photos/1/mask"))
    check("/v1/jobs/{id}/photos/{number}", "delete", client.delete(f"{job}/photos/1"))
    check("/v1/jobs/{id}/photos/{number}", "delete", client.delete(f"{job}/photos/7"))
    for stored in Path(path_of(served.gateway._outputs.prefix)).rglob("*.png"):
        stored.unlink()
    check("/v1/jobs/{id}/photos/{number}/{output}", "get", client.get(f"{job}/photos/1/cutout"))
    model = ServedModel(name="cutout_fast", version="1", digest="")
    details = {"model": model, "choice": Choice(reason="time", detail=""), "timings_ms": {"decode": 1.5}}
    served.stream.answer = lambda request: msgspec.structs.replace(served.worker.succeed(request), **details)
    chosen = client.post("/v1/jobs", json={"image": "https://a.example/1.jpg"}).json()["id"]
    wait_until(lambda: client.get(f"/v1/jobs/{chosen}").json()["status"] == "done", "the job is not done")
    check("/v1/jobs/{id}", "get", client.get(f"/v1/jobs/{chosen}"))
    served.stream.answer = served.worker.fail("unknown_foreground")
    failed = client.post("/v1/jobs", json={"image": "https://a.example/1.jpg"}).json()["id"]
    wait_until(lambda: client.get(f"/v1/jobs/{failed}").json()["status"] == "done", "the job is not done")
    check("/v1/jobs/{id}", "get", client.get(f"/v1/jobs/{failed}"))
    check("/v1.0/removebg", "post", client.post("/v1.0/removebg", files=PHOTO))
    served.stream._reading.clear()
    check("/v1.0/removebg", "post", client.post("/v1.0/removebg", files=PHOTO))
    check("/readyz", "get", client.get("/readyz"))
