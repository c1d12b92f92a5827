"""Serve an app on a thread of its own. What its clients do never stops the process, and never fills its log."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutstream.settings import host_and_port
from cutstream.web.protocol import BoundedProtocol, Connections, Limits

log = logging.getLogger(__name__)
logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # an app's errors are logged here, clients' nowhere

_CLOSE_S = 2
_TICK_S = 1.0


class WebServer:
    """Serves `app` on a listening socket until `close`. `name` is that of its thread.

    `on_start` is called on the server's loop before the first request, and `on_close` first when it closes: an answer
    without an end, such as a stream of events, has to end then. What has not ended after `close_s` is cut off. With a
    `certificate`, the files of a certificate and of its key, it serves HTTPS; without a second file, the key is in the
    first.
    """

    def __init__(
        self,
        app: ASGIApp,
        listening: socket.socket,
        name: str,
        limits: Limits | None = None,
        on_close: Callable[[], None] = lambda: None,
        on_start: Callable[[], None] = lambda: None,
        close_s: int = _CLOSE_S,
        certificate: tuple[Path, Path | None] | None = None,
    ) -> None:
        limits = limits or Limits()
        self._listening = listening
        self._on_close = on_close
        self._scheme = "http" if certificate is None else "https"
        config = uvicorn.Config(
            _Logged(app),
            http=partial(BoundedProtocol, limits, Connections(limits.connections)),  # type: ignore[arg-type]  # makes one
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=1024,
            timeout_keep_alive=limits.idle_s,
            timeout_graceful_shutdown=close_s,
            h11_max_incomplete_event_size=limits.head_bytes,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
        )
        self._server = _Server(config, on_start, on_close)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name=name, daemon=True)

    def start(self) -> str:
        """Begin to serve, and return the base address, such as `http://127.0.0.1:9200`."""
        host, port = self._listening.getsockname()[:2]
        self._thread.start()
        return f"{self._scheme}://{host_and_port(host, port)}"

    def close(self) -> None:
        """Take no more requests, end the answers under way, and return when the thread has ended. From any thread."""
        self._server.end()
        if self._thread.is_alive():
            self._thread.join()
        self._listening.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None], on_close: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_close = on_close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    async def main_loop(self) -> None:
        """Wait for the end, and keep the header `Date` true. uvicorn itself wakes ten times a second."""
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        while not await self.on_tick(0):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _TICK_S)

    def end(self) -> None:
        """End soon. From any thread."""
        self.should_exit = True
        if self._loop is not None and self._ended is not None:
            with suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._ended.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_close()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.drop()
        await asyncio.sleep(0)  # for the transports to let go of their sockets


class _Logged:
    """Logs an error that the app raises, and answers 500 if nothing has been answered yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def noting(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)
            if message.get("more_body", False):
                await asyncio.sleep(0)  # to a client that has gone, sending never waits: others must have their turn

        try:
            await self._app(scope, receive, noting)
        except Exception:
            log.exception("unexpected error while answering %s", scope["path"])
            if began:
                raise  # uvicorn cuts the answer off, so that nobody takes it for whole
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"15")]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": b"internal error\n"})
