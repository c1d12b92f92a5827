"""A TCP proxy in front of a real server, which makes the server seem away, slow, half-open or overloaded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

Mode: TypeAlias = Literal["passes", "away", "slow", "half-open", "answers 503", "answers 507"]

SLOW_BYTES, SLOW_WAIT_S = 2048, 0.1  # 20 kB/s and connection
CHUNK_BYTES = 1 << 16


class Proxy:
    """Forwards connections on `port` of loopback to `target`. It runs in a thread of its own.

    `away` refuses new connections and resets open ones. `half-open` accepts connections and never answers: those that
    are open when it begins, and those that it accepts, stay silent for ever. Other modes end for all connections.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: Mode = "passes"
        self._loop = asyncio.new_event_loop()
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._silent: list[asyncio.StreamWriter] = []  # kept, so that they are not closed as garbage
        self._server: asyncio.Server | None = None
        self.port = 0

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        thread.start()
        try:
            self._run(self._listen())
            yield self
        finally:
            self._run(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def set(self, mode: Mode) -> None:
        self._run(self._set(mode))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "away":
            self._stop_listening()
        elif self._server is None:
            await self._listen()
        if mode == "half-open":
            self._silent += self._open.values()
        for task, writer in list(self._open.items()) if mode != "slow" else ():
            task.cancel()
            if mode != "half-open":
                writer.transport.abort()

    def _stop_listening(self) -> None:
        assert self._server
        self._server.close()
        self._server = None

    async def _close(self) -> None:
        if self._server:
            self._stop_listening()
        for task, writer in list(self._open.items()):
            task.cancel()
            writer.transport.abort()
        for writer in self._silent:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        if self._mode == "half-open":
            self._silent.append(writer)
            return
        self._open[task] = writer
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            del self._open[task]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode.startswith("answers "):
            await reader.read(CHUNK_BYTES)
            status = self._mode.removeprefix("answers ")
            writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            writer.close()
            return
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            pumps = [self._pump(reader, upstream_writer), self._pump(upstream_reader, writer)]
            await asyncio.gather(*pumps)
        finally:
            upstream_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(SLOW_BYTES if self._mode == "slow" else CHUNK_BYTES):
            if self._mode == "slow":
                await asyncio.sleep(SLOW_WAIT_S)
            writer.write(data)
            await writer.drain()
        writer.close()
