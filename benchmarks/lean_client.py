"""A client for HTTP that costs less than what it measures: bodies that never change, on connections of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cutstream.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """The seconds of each call that was answered with 200, and how many of the others failed for which reason."""

    seconds: Sequence[float]
    failures: Counter[str]

    @property
    def figures(self) -> dict[str, object]:
        """What a record says about failures."""
        return {"failed": self.failures.total(), **({"failures": dict(self.failures)} if self.failures else {})}


class CallFailed(Exception):
    """A call was answered with another status than 200. Its text is the status and the code of the error."""


class Connection:
    """One connection to a gateway, which is opened for the first call."""

    def __init__(self, settings: Settings) -> None:
        self._host, self._port = settings.gateway.host, settings.gateway.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def is_open(self) -> bool:
        """True while the other side has not closed it, as far as is known here."""
        return self._streams is not None and not self._streams[0].at_eof()

    async def call(self, request: bytes) -> float:
        """Send a request and return the seconds until the whole answer was there. Raises CallFailed, or OSError."""
        began = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise CallFailed(f"{head.split()[1].decode()} {_code_of(body)}")
        return time.perf_counter() - began

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


class Connections:
    """As many connections as calls are under way at once. The one that was used last is used next."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[Connection] = []

    async def call(self, request: bytes) -> float:
        """Make a call on a connection that is idle and open, or on a new one."""
        while self._idle and not self._idle[-1].is_open:
            self._idle.pop().close()
        connection = self._idle.pop() if self._idle else Connection(self._settings)
        try:
            seconds = await connection.call(request)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return seconds

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


def photo_request(photo: bytes) -> bytes:
    """Return a whole request of rembg's API that uploads a photo."""
    body = b"--x\r\nContent-Disposition: form-data; name=file; filename=a.jpg\r\n\r\n" + photo + b"\r\n--x--\r\n"
    head = f"POST /api/remove HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + body


async def at_rate(make: Callable[[int], Awaitable[float]], rate: float, calls: int) -> Outcome:
    """Begin calls at a fixed rate (an open loop). Their seconds count from when each was due."""

    async def one(number: int, due: float) -> float:
        await make(number)
        return time.perf_counter() - due

    began = time.perf_counter()
    under_way = []
    for number in range(calls):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        under_way.append(asyncio.ensure_future(one(number, due)))
    return await all_of(under_way)


async def all_of(calls: Sequence[Awaitable[float]]) -> Outcome:
    """Wait for all calls."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    seconds = [outcome for outcome in outcomes if isinstance(outcome, float)]
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    return Outcome(seconds, Counter(str(e) if isinstance(e, CallFailed) else type(e).__name__ for e in errors))


def _code_of(body: bytes) -> str:
    try:
        answer = json.loads(body)
        return str(answer["errors"][0]["code"] if "errors" in answer else answer["detail"])
    except (ValueError, LookupError, TypeError):
        return body[:60].decode(errors="replace")
