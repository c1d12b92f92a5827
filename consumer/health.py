"""The HTTP endpoints of one worker: /metrics, /healthz and /readyz."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cutstream.errors import ConfigurationError
from cutstream.metrics import Metrics
from cutstream.settings import host_and_port

log = logging.getLogger(__name__)

_REQUEST_TIMEOUT_S = 5.0  # a client that connects and sends nothing must not keep its thread

Checks = Callable[[], Mapping[str, Any]]


class HealthServer:
    """Answers on threads of its own, from what is known: no probe waits for another server.

    `alive` and `ready` return the answer's JSON: named checks, any of which makes it a 503 by being False, and details.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, alive: Checks, ready: Checks) -> None:
        self._address = (host, port)
        self._metrics = metrics
        self._checks = {"/healthz": alive, "/readyz": ready}
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> str:
        """Start listening and return the base address, with the actual port if 0 was asked for."""
        host, port = self._address
        try:
            self._server = _Server(self._address, self._handler())
        except OSError as exc:
            raise ConfigurationError(
                f"cannot listen on {host_and_port(host, port)} ({exc.strerror}): CUTSTREAM_WORKER__HOST must be an "
                "address of this machine and CUTSTREAM_WORKER__PORT a free port, or 0 for any "
                "(docs/settings.md#worker-port)"
            ) from exc
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        return f"http://{host_and_port(host, self._server.server_address[1])}"

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, path: str, accept: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/metrics":
            return HTTPStatus.OK, *self._metrics.exposition(accept)
        if path not in self._checks:
            return HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /healthz or /readyz\n"
        checks = dict(self._checks[path]())
        status = HTTPStatus.SERVICE_UNAVAILABLE if False in checks.values() else HTTPStatus.OK
        return status, "application/json", json.dumps(checks).encode() + b"\n"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            timeout = _REQUEST_TIMEOUT_S

            def do_GET(self) -> None:
                status, media_type, body = answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
                self.send_response(status)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing: probes every few seconds are not events."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # many probes at once are answered one after the other, not refused

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the error as one event. A probe that hangs up is not an error of ours."""
        hung_up = isinstance(sys.exc_info()[1], ConnectionError)
        log.log(logging.DEBUG if hung_up else logging.ERROR, "health request failed", exc_info=not hung_up)
