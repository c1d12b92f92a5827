"""The gateway's app: its routes, and the way of a call through it.

A call passes, from outside in: the proxy's headers and the prefix (`proxies`), the security headers and the check of
its host (`cutstream.web`), and `answering`, which counts it and writes errors in the form of its API. Then its route:

    /v1.0/…        removebg   remove.bg's API
    /api/remove    rembg      rembg's API
    /v1/jobs…      jobs       many photos, results later (`job_runner`, `job_store`, `webhooks`)
    /healthz, /readyz, /metrics, /openapi.json

A synchronous call is four steps (`calls`): its client and its limits are checked before its body is read (`bodies`);
its photo is stored and its request written, on one visit to another thread (`uploads`, `stream`); its own result is
awaited, and comes with its output read already (`waiting`); the output is sent (`answers`). Nothing here calls a worker
or Triton.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cutstream.metrics import GatewayMetrics
from cutstream.web import is_authorized
from producer.gateway.answering import Answering, answer_gone, answer_http_error, answer_later, answer_refusal
from producer.gateway.errors import CallRefused, ClientGone
from producer.gateway.job_database import JobsUnavailable

Checks = Callable[[], Mapping[str, Any]]

PROBES = ("/healthz", "/readyz")
"""What balancers ask for, by address and perhaps in HTTP/1.0: answered whatever the host of the request."""


def build_app(
    routes: Sequence[Route],
    metrics: GatewayMetrics,
    alive: Checks,
    ready: Checks,
    metrics_token: SecretStr | None = None,
    origins: Sequence[str] = (),
    document: Mapping[str, Any] | None = None,
) -> ASGIApp:
    """Return the app with these routes and those that every service has.

    `alive` and `ready` return named checks, any of which makes the answer a 503 by being False, and details. Pages of
    the sites `origins` may call it. `document` is its OpenAPI document.
    """

    async def healthz(request: Request) -> Response:
        return _checked(alive())

    async def readyz(request: Request) -> Response:
        return _checked(ready())

    async def exposition(request: Request) -> Response:
        if not is_authorized(request.headers.get("authorization", ""), metrics_token):
            return PlainTextResponse(
                "Authorization: Bearer and the metrics token\n", 401, {"WWW-Authenticate": "Bearer"}
            )
        media_type, data = metrics.exposition(request.headers.get("accept", ""))
        return Response(data, headers={"Content-Type": media_type})

    async def refused(request: Request, exc: Exception) -> Response:
        if isinstance(exc, CallRefused) and exc.limit is not None:
            metrics.refused.labels(exc.limit).inc()
        return await answer_refusal(request, exc)

    async def openapi(request: Request) -> Response:
        return JSONResponse(document)

    app = Starlette(
        routes=[
            *routes,
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", exposition),
            Route("/openapi.json", openapi),
        ],
        exception_handlers={
            CallRefused: refused,
            JobsUnavailable: answer_later,
            ClientGone: answer_gone,
            HTTPException: answer_http_error,
        },
    )
    app.router.redirect_slashes = False
    return Answering(with_cors(app, origins), metrics)


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of these sites call the app from a browser, with their keys and without cookies."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["X-Api-Key", "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
        expose_headers=["*"],
    )


def _checked(checks: Mapping[str, Any]) -> Response:
    return JSONResponse(dict(checks), 503 if False in checks.values() else 200)
