"""What every answer goes through: errors in the form of each API, metrics, and bodies that nobody reads any more."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from time import monotonic

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutstream.metrics import GatewayMetrics
from producer.gateway import rembg
from producer.gateway.errors import CallRefused, unavailable

log = logging.getLogger(__name__)

_LINGER_S = 2.0
# What is called, by the beginning of its path. All else is counted together: strangers ask for many paths.
_CALLS = {
    "/v1.0/removebg": "removebg",
    "/v1.0/account": "account",
    "/v1.0/improve": "improve",
    "/v1/jobs": "jobs",
    "/api/remove": "rembg",
    "/healthz": "health",
    "/readyz": "health",
    "/metrics": "metrics",
}


async def answer_refusal(request: Request, exc: Exception) -> Response:
    """Answer a refused call: rembg's clients get FastAPI's form of an error, all others that of remove.bg."""
    assert isinstance(exc, CallRefused)
    if request.url.path.endswith("/api/remove"):
        return JSONResponse(rembg.error_body(exc), exc.status, exc.headers)
    error = {"title": exc.title, "code": exc.error_code, **({"detail": exc.detail} if exc.detail else {})}
    return JSONResponse({"errors": [error]}, exc.status, exc.headers)


async def answer_later(request: Request, exc: Exception) -> Response:
    """Answer a call that failed because something of the deployment is not ready."""
    log.warning("a call cannot be answered now: %s", exc)
    return await answer_refusal(request, unavailable("Jobs cannot be stored or read now"))


async def answer_gone(request: Request, exc: Exception) -> Response:
    """End a call whose client has gone. Nobody reads this answer."""
    return Response(status_code=499)


async def answer_http_error(request: Request, exc: Exception) -> Response:
    """Answer what Starlette itself refuses, such as an unknown path."""
    assert isinstance(exc, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    error = {"title": exc.detail, "code": codes.get(exc.status_code, "invalid_request")}
    return JSONResponse({"errors": [error]}, exc.status_code, exc.headers)


class Answering:
    """Counts answers, and reads the rest of a body that was refused before it had come in.

    A client that still sends would otherwise find its connection reset, and might never see why. It gets two seconds.
    """

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = monotonic()
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        call = next((name for beginning, name in _CALLS.items() if path.startswith(beginning)), "other")
        headers = Headers(scope=scope)
        unread = _has_body(headers)

        async def receiving() -> Message:
            nonlocal unread
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                unread = False
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.calls.labels(call, str(message["status"])).inc()
                if (
                    message["status"] != HTTPStatus.TOO_MANY_REQUESTS
                ):  # refused at once: it would hide how long others take
                    self._metrics.call_seconds.labels(call).observe(monotonic() - began_s)
            elif unread and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await _drain(receiving)
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, receiving, sending)


def _has_body(headers: Headers) -> bool:
    if "100-continue" in headers.get("expect", "").lower():
        return False  # the client waits for our word before it sends anything
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def _drain(receive: Receive) -> None:
    async def read() -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return

    try:
        await asyncio.wait_for(read(), _LINGER_S)
    except asyncio.TimeoutError:
        pass  # it has had its time
