"""uvicorn's HTTP/1.1, bounded: nobody holds a connection by being slow, and there are never too many.

uvicorn itself waits without end for a request's head, for the rest of its body, and for a reader to read.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

log = logging.getLogger(__name__)

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 42\r\n"
    b"Retry-After: 5\r\nConnection: close\r\n\r\ntoo many connections: try again in a while"
)


# For a head that never ends. Its request has not been read, so no app can say it in its own form.
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 44\r\n"
    b"Connection: close\r\n\r\nthe head of the request did not come in time"
)


@dataclass(frozen=True)
class Limits:
    """Bounds of a server. Times are in seconds, from the first moment on: dripping bytes buys no more.

    Beyond `connections`, the one that has been idle for longest is closed for a new one. If all are at work, the new
    one is answered with 503. `head_s` begins with a connection, and on one that is kept with the first byte of the next
    request, which may come `idle_s` after the last answer. A head that has come in part by then is answered with 408.
    `body_s` is the time for a request's body, which the app's own reading counts towards. `unread_s` begins when the
    server's own buffers are full. An answer of little data, which the system's buffers hold for many minutes, needs
    `stalled_s`, too: the time from which the client's system takes no more (on Linux only).
    """

    connections: int = 128
    head_bytes: int = 16_384
    head_s: float = 10.0
    body_s: float = 10.0
    unread_s: float = 10.0
    stalled_s: float | None = None
    idle_s: int = 5


class Connections:
    """The open connections of one server, the oldest first. Used on the server's loop only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[BoundedProtocol, None] = {}

    def admit(self, new: BoundedProtocol) -> bool:
        """Make room for a connection. Return False if all others are at work."""
        if len(self._open) >= self._most:
            idle = next((known for known in self._open if not known.is_at_work), None)
            if idle is None:
                return False
            idle.drop()
        self._open[new] = None
        return True

    def remove(self, old: BoundedProtocol) -> None:
        self._open.pop(old, None)


class StrictConnection(h11.Connection):
    """HTTP/1.1 without requests whose end is in doubt.

    h11 takes `Transfer-Encoding` where `Content-Length` is there as well. A proxy in front may take the other one, and
    what it believes to be a body would be a request of its own here (RFC 9112, 6.1).
    """

    problem = ""
    """Why the last request was refused, if its framing was."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event. Raises RemoteProtocolError for a request whose end is in doubt."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if b"transfer-encoding" in names:
                if b"content-length" in names:
                    self.problem = "send Content-Length or Transfer-Encoding, not both"
                elif event.http_version == b"1.0":
                    self.problem = "HTTP/1.0 has no Transfer-Encoding: send Content-Length"
                if self.problem:
                    raise h11.RemoteProtocolError(self.problem)
        return event


class BoundedProtocol(H11Protocol):
    """One connection. A time limit runs for whatever it waits for: a head, a body, or a reader."""

    def __init__(
        self,
        limits: Limits,
        connections: Connections,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: StrictConnection = StrictConnection(h11.SERVER, limits.head_bytes)
        self._limits = limits
        self._admitted = connections
        self._awaited = ""
        self._is_idle = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def is_at_work(self) -> bool:
        """True while a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def drop(self) -> None:
        """Close at once, and forget what has not been sent."""
        self._admitted.remove(self)
        self._stop(self._timers)
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        # An answer's head and its body are two writes. The second would wait for the client's delayed acknowledgement
        # of the first: 40 ms. asyncio sees to it, but not for a listening socket that it has not opened itself.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._limits.stalled_s is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(self._limits.stalled_s * 1000)
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        if self._admitted.admit(self):
            self._await_next()
        else:
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._admitted.remove(self)
        self._stop(self._timers)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._has_long_head(data):
            self.send_400_response("The head of the request is too long")
            return
        self._is_idle = False
        try:
            super().data_received(data)
        except Exception:  # a request that uvicorn or h11 stumbles over
            log.debug("request dropped", exc_info=True)
            self.drop()
            return
        self._await_next()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(self.conn.problem or msg)

    def _has_long_head(self, data: bytes) -> bool:
        """Tell whether the head of a request does not end in time. h11 notices that only of one that is not whole."""
        if len(data) <= self._limits.head_bytes or self.conn.their_state is not h11.IDLE:
            return False
        head = self.conn.trailing_data[0] + data[: self._limits.head_bytes]
        return b"\r\n\r\n" not in head and b"\n\n" not in head

    def on_response_complete(self) -> None:
        # Otherwise the client owes the rest of this request, or has begun to send the next one.
        self._is_idle = self.conn.their_state is h11.DONE and not self.conn.trailing_data[0]
        super().on_response_complete()
        self._stop(["head", "body"])
        self._awaited = ""
        self._await_next()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("read", self._limits.unread_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(["read"])

    def _await_next(self) -> None:
        """Start the time limit of what the client owes now, if that has changed."""
        owed = "" if self._is_idle else "head"  # uvicorn itself ends a connection that is idle for too long
        awaited = owed if not self.is_at_work else "body" if self.cycle.more_body else ""
        if awaited != self._awaited and not self.transport.is_closing():
            self._stop(["head", "body"])
            self._awaited = awaited
            if awaited:
                self._start(awaited, self._limits.head_s if awaited == "head" else self._limits.body_s)

    def _start(self, name: str, seconds: float) -> None:
        self._stop([name])
        self._timers[name] = self.loop.call_later(seconds, self._end_slow_head if name == "head" else self.drop)

    def _end_slow_head(self) -> None:
        """Close, and say why if part of a head has come. Whoever has sent nothing awaits no answer."""
        if self.conn.their_state is not h11.IDLE or not self.conn.trailing_data[0] or self.transport.is_closing():
            self.drop()
            return
        self.transport.write(_TOO_SLOW)
        self.transport.close()
        self._start("read", self._limits.unread_s)  # what came before may still wait for its reader

    def _stop(self, names: Iterable[str]) -> None:
        for name in list(names):
            if timer := self._timers.pop(name, None):
                timer.cancel()
