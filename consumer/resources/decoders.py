"""Decode in separate processes: a decoder's crash, hang or memory bomb costs one photo, never the worker.

File and pixels pass through one shared slot per process, which is mapped once and used for every photo. The socket
carries only a few hundred bytes each way, so a stopped process cannot block the sender. The slot is an anonymous file
(memfd): it leaves no name behind, and the kernel frees it with its last process. A process ends when its socket closes,
and so also when its parent dies.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from queue import LifoQueue

import numpy as np

from consumer.resources import decoder_process
from consumer.resources.decoder_process import DecodeReply, DecodeRequest
from cutstream.errors import DecoderFailed, Fatal, Poison
from cutstream.images import Image
from cutstream.images.header import Header

CHILD = f"from {decoder_process.__name__} import main; main()"
START_TIMEOUT_S = 30.0
KEPT_SLOT_BYTES = 64_000_000  # the pages of larger photos go back to the system afterwards


class DecoderPool:
    """A fixed number of decoder processes. `decode` is thread-safe and waits for a free one."""

    def __init__(
        self,
        processes: int,
        timeout_s: float,
        *,
        max_bytes: int,
        max_pixels: int,
        on_restart: Callable[[], None],
    ) -> None:
        slot_bytes = max(max_bytes, 4 * max_pixels)
        self._processes = [_Process(slot_bytes, timeout_s, on_restart) for _ in range(processes)]
        self._idle: LifoQueue[_Process] = LifoQueue()  # the process used last has the warmest caches

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._processes)

    def start(self) -> None:
        for process in self._processes:
            process.start()
        for process in self._processes:
            process.await_ready()
            self._idle.put(process)

    def decode(self, data: bytes, header: Header) -> Image:
        """Decode one file into arrays of the caller's own. Raises UnreadableImage; DecoderFailed if a decoder dies."""
        process = self._idle.get()
        try:
            return process.decode(data, header)
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """End all processes. Call this when no `decode` is under way."""
        for process in self._processes:
            process.end()


class _Process:
    def __init__(self, slot_bytes: int, timeout_s: float, on_restart: Callable[[], None]) -> None:
        self._slot_bytes = slot_bytes
        self._timeout_s = timeout_s
        self._on_restart = on_restart

    @property
    def pid(self) -> int:
        return self._popen.pid

    def start(self) -> None:
        """Start the process and return at once; `await_ready` says whether it worked."""
        self._slot_fd = os.memfd_create("cutstream-decoder")
        os.ftruncate(self._slot_fd, self._slot_bytes)  # sparse: it takes memory only where it is touched
        self._slot = mmap.mmap(self._slot_fd, self._slot_bytes)
        self._spawn()

    def await_ready(self) -> None:
        try:
            self._receive(START_TIMEOUT_S)
        except (EOFError, ConnectionError, TimeoutError) as error:
            self._kill()
            raise Fatal("a decoder process does not start; its own output says why") from error

    def decode(self, data: bytes, header: Header) -> Image:
        if self._popen.poll() is not None:  # it died while idle, which is not this photo's fault
            self._replace()
        self._slot[: len(data)] = data
        try:
            self._connection.send(DecodeRequest(header, len(data)))
            reply = self._receive(self._timeout_s)
        except (EOFError, ConnectionError) as error:
            self._replace()
            raise DecoderFailed(f"the decoder crashed on this {header.format}") from error
        except TimeoutError as error:
            self._replace()
            raise DecoderFailed(f"decoding takes longer than {self._timeout_s:g} s") from error
        if isinstance(reply, Poison):
            raise reply
        return self._take(reply, header.format)

    def end(self) -> None:
        """Kill the process at once: a decoder holds nothing worth finishing."""
        self._kill()
        self._slot.close()
        os.close(self._slot_fd)

    def _spawn(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            fds = (theirs.fileno(), self._slot_fd)
            arguments = [str(value) for value in (*fds, self._slot_bytes, self._timeout_s)]
            self._popen = subprocess.Popen(
                [sys.executable, "-c", CHILD, *arguments],
                pass_fds=fds,
                start_new_session=True,  # Ctrl-C in the terminal is for the parent
                stdin=subprocess.DEVNULL,
            )

    def _receive(self, timeout_s: float) -> DecodeReply | Poison:
        if not self._connection.poll(timeout_s):
            raise TimeoutError
        reply: DecodeReply | Poison = self._connection.recv()
        return reply

    def _replace(self) -> None:
        self._on_restart()
        self._kill()
        self._spawn()
        self.await_ready()

    def _kill(self) -> None:
        self._popen.kill()
        self._popen.wait()
        self._connection.close()

    def _take(self, decoded: DecodeReply, format: str) -> Image:
        shape = (decoded.height, decoded.width)
        area = decoded.height * decoded.width
        pixels = np.frombuffer(self._slot, np.uint8, 3 * area).reshape(*shape, 3).copy()
        alpha = np.frombuffer(self._slot, np.uint8, area, 3 * area).reshape(shape).copy() if decoded.has_alpha else None
        if 4 * area > KEPT_SLOT_BYTES:
            self._slot.madvise(mmap.MADV_REMOVE)
        return Image(pixels, alpha, format, decoded.icc, decoded.dpi)
