"""A small reverse proxy that publishes a service below a path."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cutstream.web import WebServer, listen, site

_PASSED = ("content-type", "authorization", "x-api-key", "idempotency-key", "last-event-id", "x-requested-with")


@contextmanager
def proxied(netloc: str, prefix: str) -> Iterator[str]:
    """Yield the address of a proxy that takes a prefix away. It ends in `/`."""

    async def pass_on(request: Request) -> Response:
        connection = http.client.HTTPConnection(netloc, timeout=10)
        headers = {"Host": netloc, **{name: request.headers[name] for name in _PASSED if name in request.headers}}
        connection.request(request.method, "/" + request.path_params["path"], await request.body() or None, headers)
        answer = await anyio.to_thread.run_sync(connection.getresponse)

        async def chunks() -> Any:
            try:
                while chunk := await anyio.to_thread.run_sync(answer.read1, abandon_on_cancel=True):
                    yield chunk
            finally:
                with_socket = connection.sock
                if with_socket is not None:
                    with_socket.shutdown(socket.SHUT_RDWR)
                answer.close()
                connection.close()

        kept = {name: value for name, value in answer.headers.items() if name.lower() != "transfer-encoding"}
        return StreamingResponse(chunks(), answer.status, kept)

    route = Route(prefix + "/{path:path}", pass_on, methods=["GET", "POST", "DELETE"])
    server = WebServer(site([route], None), listen("127.0.0.1", 0, "page"), "proxy")
    try:
        yield f"{server.start()}{prefix}/"
    finally:
        server.close()
        assert threading.active_count() < 50
