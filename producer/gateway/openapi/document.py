"""The whole document."""

from __future__ import annotations

import json
from typing import Any

from cutstream import __version__
from producer.gateway.openapi.components import responses, schemas
from producer.gateway.openapi.job_calls import job_paths
from producer.gateway.openapi.parts import operation
from producer.gateway.openapi.photo_calls import rembg_paths, removebg_paths

_INTRODUCTION = (
    "Background removal over a Kafka stream. The calls below `/v1.0` are those of remove.bg, `/api/remove` is that of "
    "rembg's server, and `/v1/jobs` takes many photos whose results are fetched later. docs/http.md explains them."
)


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
        "paths": {**removebg_paths(), **rembg_paths(), **job_paths(), **_own_paths()},
        "components": {
            "schemas": schemas(),
            "responses": responses(),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(document))  # lists in place of the tuples of defaults
    return plain


def _own_paths() -> dict[str, Any]:
    checks = {"application/json": {"schema": {"type": "object"}}}
    answers = {"200": {"description": "Yes.", "content": checks}, "503": {"description": "No.", "content": checks}}
    return {
        "/healthz": {"get": {**operation("healthz", "Does it serve?", answers), "security": []}},
        "/readyz": {"get": {**operation("readyz", "Does it read results?", answers), "security": []}},
    }
