"""The HTTP endpoints of one worker: /metrics, /healthz and /readyz."""

from __future__ import annotations

import hmac
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import SecretStr
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.wasyncore import close_all

from cutstream.errors import ConfigurationError
from cutstream.metrics import Metrics
from cutstream.settings import host_and_port

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

Checks = Callable[[], Mapping[str, Any]]
_Answer: TypeAlias = tuple[HTTPStatus, str, bytes]

_METHODS = ("GET", "HEAD")
_MOST_CONNECTIONS = 256
_ACCEPTED_AT_ONCE = 32
_IDLE_S = 5  # a client that sends nothing, or does not read its answer
_FULL_WAIT_S = 0.1


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
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Start listening and return the base address, with the actual port if 0 was asked for."""
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server(self._address, family=family)
        except OSError as exc:
            reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror
            raise ConfigurationError(
                f"cannot listen on {host_and_port(host, port)} ({reason}): CUTSTREAM_WORKER__HOST must be an "
                "address of this machine and CUTSTREAM_WORKER__PORT a free port, or 0 for any "
                "(docs/settings.md#worker-port)"
            ) from exc
        logging.getLogger("waitress").setLevel(logging.ERROR)  # what clients do is no event, and they may do it often
        port = listening.getsockname()[1]
        self._server = _Server(self._app, listening)
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
            if not self._may_read_metrics(environ.get("HTTP_AUTHORIZATION", "")):
                return HTTPStatus.UNAUTHORIZED, "text/plain", b"Authorization: Bearer and the metrics token\n"
            return HTTPStatus.OK, *self._metrics.exposition(environ.get("HTTP_ACCEPT", ""))
        if path not in self._checks:
            return HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /healthz or /readyz\n"
        checks = dict(self._checks[path]())
        status = HTTPStatus.SERVICE_UNAVAILABLE if False in checks.values() else HTTPStatus.OK
        return status, "application/json", json.dumps(checks).encode() + b"\n"

    def _may_read_metrics(self, authorization: str) -> bool:
        if self._token is None:
            return True
        scheme, _, token = authorization.partition(" ")
        right = hmac.compare_digest(token.strip().encode("latin-1"), self._token.get_secret_value().encode())
        return right and scheme.lower() == "bearer"


class _OneAnswer(WSGITask):  # type: ignore[misc]  # waitress has no types
    """Ends the connection after its answer: nobody has more work waiting than there are connections."""

    def start(self) -> None:
        super().start()
        self.request.headers["CONNECTION"] = "close"


class _Channel(HTTPChannel):  # type: ignore[misc]
    task_class = _OneAnswer

    def handle_error(self) -> None:
        """Drop a client whose request waitress stumbles over, such as a `Content-Length` of 5,000 digits."""
        log.debug("health request failed", exc_info=True)
        self.handle_close()


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """Accepts every connection, and closes the oldest one for it when there are many.

    waitress alone would accept no more until idle ones time out, and probes would wait behind them.
    """

    channel_class = _Channel
    _failed = False

    def __init__(self, app: Callable[..., Iterable[bytes]], listening: socket.socket) -> None:
        limits = Adjustments(
            threads=1,
            connection_limit=2 * _MOST_CONNECTIONS,  # never reached
            channel_timeout=_IDLE_S,
            cleanup_interval=1,
            max_request_header_size=16_384,
            max_request_body_size=1024,
            backlog=1024,  # many at once are accepted one after the other, not refused
            asyncore_use_poll=True,  # descriptors may have numbers above 1023
            log_socket_errors=False,
            ident=None,
        )
        address = (listening.family, listening.type, listening.proto, listening.getsockname())
        super().__init__(app, {}, _sock=listening, adj=limits, sockinfo=address, bind_socket=False)
        self._of_metrics = ThreadedTaskDispatcher()
        self._of_metrics.set_thread_count(1)

    def add_task(self, task: Any) -> None:
        """Have metrics written on a thread of their own: that takes longer, and no probe waits for it."""
        (self._of_metrics if task.requests[0].path == "/metrics" else self.task_dispatcher).add_task(task)

    def handle_accept(self) -> None:
        before = len(self.active_channels)
        for known in range(before, before + _ACCEPTED_AT_ONCE):
            super().handle_accept()
            if len(self.active_channels) == known:
                break
        if self._failed and len(self.active_channels) == before:
            self._make_room()
        while len(self.active_channels) > _MOST_CONNECTIONS:
            self._close_oldest()

    def accept(self) -> Any:
        self._failed = False
        try:
            return super().accept()
        except OSError:
            self._failed = True
            return None

    def _make_room(self) -> None:
        """The process has no descriptors left, perhaps for a long time."""
        if self.active_channels:
            self._close_oldest()
        else:
            time.sleep(_FULL_WAIT_S)

    def _close_oldest(self) -> None:
        """Close the oldest connection without a request in work, but none of the newer half: they may be probes.

        One that drips bytes is never idle, but it gets old.
        """
        channels = list(self.active_channels.values())
        older = channels[: len(channels) // 2 + 1]
        next((channel for channel in older if not channel.requests), older[0]).handle_close()

    def stop(self) -> None:
        """Close all sockets, on the server's thread, which then ends. From any other thread."""
        self.trigger.pull_trigger(lambda: close_all(self._map))
        self.task_dispatcher.shutdown()
        self._of_metrics.shutdown()
