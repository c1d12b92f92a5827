"""An HTTP server that nobody can keep from answering, nor use to take the process's descriptors: waitress, bounded."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.wasyncore import close_all

log = logging.getLogger(__name__)
logging.getLogger("waitress").setLevel(logging.ERROR)  # what clients do is no event, and they may do it often

_MOST_CONNECTIONS = 256
_ACCEPTED_AT_ONCE = 32
_IDLE_S = 5  # a client that sends nothing, or does not read its answer
_FULL_WAIT_S = 0.1


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


class HttpServer(TcpWSGIServer):  # type: ignore[misc]
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
        with suppress(OSError):  # a request that ends now has woken the thread, which has closed the trigger, too
            self.trigger.pull_trigger(lambda: close_all(self._map))
        self.task_dispatcher.shutdown()
        self._of_metrics.shutdown()
