"""The HTTP endpoints of one worker: /metrics, /healthz and /readyz."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import SecretStr

from consumer.http_server import HttpServer
from cutstream.metrics import Metrics
from cutstream.settings import host_and_port
from cutstream.web import is_authorized, listen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Checks = Callable[[], Mapping[str, Any]]
_Answer: TypeAlias = tuple[HTTPStatus, str, bytes]

_METHODS = ("GET", "HEAD")


class HealthServer:
    """Answers on threads of its own, from what is known: no probe waits for another server.

    `alive` and `ready` return the answer's JSON: named checks, any of which makes it a 503 by being False, and details.
    With a `token`, /metrics is for those who send it. Nobody else's pages can read an answer: none allows it (CORS).
    """

    def __init__(
        self, host: str, port: int, metrics: Metrics, alive: Checks, ready: Checks, token: SecretStr | None = None
    ) -> None:
        self._address = (host, port)
        self._metrics = metrics
        self._checks = {"/healthz": alive, "/readyz": ready}
        self._token = token
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Start listening and return the base address, with the actual port if 0 was asked for."""
        host, port = self._address
        listening = listen(host, port, "worker")
        port = listening.getsockname()[1]
        self._server = HttpServer(self._app, listening)
        self._thread = threading.Thread(target=self._server.run, name="health", daemon=True)
        self._thread.start()
        return f"http://{host_and_port(host, port)}"

    def close(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join()

    def _app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, media_type, body = self._answer(environ)
        headers = [("Content-Type", media_type), ("Content-Length", str(len(body)))]
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", "Bearer"))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", ", ".join(_METHODS)))
        start_response(f"{status.value} {status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: WSGIEnvironment) -> _Answer:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in _METHODS:
            return HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"GET or HEAD\n"
        if path == "/metrics":
            if not is_authorized(environ.get("HTTP_AUTHORIZATION", ""), self._token):
                return HTTPStatus.UNAUTHORIZED, "text/plain", b"Authorization: Bearer and the metrics token\n"
            return HTTPStatus.OK, *self._metrics.exposition(environ.get("HTTP_ACCEPT", ""))
        if path not in self._checks:
            return HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /healthz or /readyz\n"
        checks = dict(self._checks[path]())
        status = HTTPStatus.SERVICE_UNAVAILABLE if False in checks.values() else HTTPStatus.OK
        return status, "application/json", json.dumps(checks).encode() + b"\n"
