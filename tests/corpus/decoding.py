"""Decode files as the worker does, by `read_header` and the pool with the default limits, and measure it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from consumer.resources.decoding.pool import DecoderPool
from cutstream.errors import CutstreamError, DecoderFailed
from cutstream.images import Image
from cutstream.images.header import Header, read_header
from cutstream.images.memory import PROCESS_BYTES, decoder_bytes
from cutstream.settings import LimitSettings

LIMITS = LimitSettings()
UNEXPECTED = "unexpected"


@dataclass(frozen=True)
class Outcome:
    """How a file ended. `code` is `ok`, the code of a named error, or `unexpected` for any other exception.

    `peak_bytes` is what the decoder held beyond its idle state, `reserved_bytes` what the worker sets aside for it.
    """

    code: str
    message: str = ""
    image: Image | None = None
    header: Header | None = None
    header_s: float = 0.0
    decode_s: float = 0.0
    peak_bytes: int = 0
    reserved_bytes: int = 0
    died: bool = False

    @property
    def seconds(self) -> float:
        return self.header_s + self.decode_s


class MeasuredDecoder:
    """A pool of one process, so that its memory belongs to one file at a time.

    A process keeps some of the memory that earlier files needed. So a file that seems to take more than its share is
    decoded again by a fresh process, and what that one takes counts.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._start()

    def _start(self) -> None:
        self._pool = DecoderPool(
            1,
            LIMITS.decode_timeout_s,
            max_bytes=LIMITS.max_source_bytes,
            max_pixels=LIMITS.max_source_pixels,
            on_restart=self._count,
        )
        self._pool.start()
        self._idle_bytes = _status_bytes(self._pid, "VmRSS")

    def _count(self) -> None:
        self.restarts += 1

    @property
    def _pid(self) -> int:
        return self._pool.pids[0]

    def close(self) -> None:
        self._pool.close()

    def decode(self, data: bytes) -> Outcome:
        outcome = self._measure(data)
        if outcome.peak_bytes <= outcome.reserved_bytes:
            return outcome
        self._pool.close()
        self._start()
        return self._measure(data)

    def _measure(self, data: bytes) -> Outcome:
        started = time.perf_counter()
        try:
            header = read_header(data, LIMITS.max_source_pixels)
        except CutstreamError as error:
            return Outcome(error.code, str(error), header_s=time.perf_counter() - started)
        except Exception as error:
            return Outcome(UNEXPECTED, repr(error), header_s=time.perf_counter() - started)
        header_s = time.perf_counter() - started
        image, code, message, died = self._decode(data, header)
        return Outcome(
            code,
            message,
            image,
            header,
            header_s,
            time.perf_counter() - started - header_s,
            0 if died else max(0, _status_bytes(self._pid, "VmHWM") - self._idle_bytes),
            PROCESS_BYTES + decoder_bytes(header, len(data)),
            died,
        )

    def _decode(self, data: bytes, header: Header) -> tuple[Image | None, str, str, bool]:
        _reset_peak(self._pid)
        restarts = self.restarts
        try:
            return self._pool.decode(data, header), "ok", "", False
        except CutstreamError as error:
            died = isinstance(error, DecoderFailed) or self.restarts > restarts
            return None, error.code, str(error), died
        except Exception as error:
            return None, UNEXPECTED, repr(error), self.restarts > restarts


@contextmanager
def measured_decoder() -> Iterator[MeasuredDecoder]:
    decoder = MeasuredDecoder()
    try:
        yield decoder
    finally:
        decoder.close()


def _status_bytes(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(name + ":"):
                return 1024 * int(line.split()[1])
    raise LookupError(name)


def _reset_peak(pid: int) -> None:
    """Make VmHWM begin anew at what the process holds now (proc(5), clear_refs)."""
    with open(f"/proc/{pid}/clear_refs", "w") as control:
        control.write("5")
