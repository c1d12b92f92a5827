"""One decoder process as the worker sees it: started, given photos, killed."""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from consumer.resources.decoding import protocol
from consumer.resources.decoding.output import LineAllowance, Output
from consumer.resources.decoding.protocol import (
    BadReply,
    Colours,
    Converted,
    Decoded,
    File,
    Ready,
    Refused,
    Reply,
    Request,
    out_of_memory,
)
from cutstream.errors import DecoderFailed, FileTooLarge
from cutstream.images import Image, Pixels
from cutstream.images.header import Header
from cutstream.launch import python_command
from cutstream.settings import bare_environment

COMMAND = python_command("consumer.resources.decoding.decoder_process")  # the libraries are for it alone
START_TIMEOUT_S = 30.0
KEPT_SLOT_BYTES = 64_000_000  # the pages of larger photos go back to the system afterwards
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
BUSY_SHARE = 0.2  # of the time limit: with less processor time than that, the machine is slow and not the file
CONVERSION_BYTES = 32_000_000  # to convert colours a few at a time, besides what the profile needs
PROFILE_COPIES = 8
_ENDING_S = 1.0
_NO_MEMORY = re.compile(r"failed to allocate|out of memory|bad_alloc|cannot allocate", re.IGNORECASE)
_ENVIRONMENT = {
    "VIPS_DISC_THRESHOLD": "1000g",  # libvips writes no picture to a temporary file
    "OPENBLAS_NUM_THREADS": "1",  # NumPy starts no threads, which would keep privileges that the process gives up
}


class DecoderKilled(DecoderFailed):
    """Another process has killed the decoder, or the kernel has: the file cannot (system_calls.py)."""


class StartFailed(Exception):
    """A decoder process cannot be started, or ends before it has decoded the known pictures."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a decoder gets: the slot's size, the most memory that decoding may take, and the time for one photo."""

    slot_bytes: int
    memory_bytes: int
    timeout_s: float


class Decoder:
    """One thread at a time uses it. `close` may be called from any thread once nobody uses it."""

    def __init__(self, limits: Limits, allowance: LineAllowance) -> None:
        self._limits = limits
        self._allowance = allowance
        self._popen: subprocess.Popen[bytes] | None = None
        self._slot: mmap.mmap | None = None
        self._slot_fd = -1
        self._worn = False
        self.unfiltered = ""
        """Why the process may make all system calls. Empty if it may not."""

    @property
    def pid(self) -> int:
        return 0 if self._popen is None else self._popen.pid

    @property
    def runs(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def worn(self) -> bool:
        """Whether the process holds memory of an earlier file that it cannot give back. It is to be started anew."""
        return self._worn

    def start(self) -> None:
        """Start the process and return at once; `await_ready` says whether it works. Raises StartFailed."""
        self.kill()
        try:
            if self._slot is None:
                self._slot = self._make_slot()
            self._spawn()
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:  # no memory, processes or threads left
            self.kill()
            raise StartFailed(str(error)) from error

    def await_ready(self) -> None:
        try:
            reply = protocol.receive_reply(self._connection, START_TIMEOUT_S)
            if not isinstance(reply, Ready):
                raise BadReply
            self._cpu_s, self.unfiltered = reply.cpu_s, reply.unfiltered
        except TimeoutError as error:
            self.kill()
            raise StartFailed(f"no answer within {START_TIMEOUT_S:g} s") from error
        except (EOFError, OSError, BadReply) as error:
            raise StartFailed(self.kill() or "it says nothing") from error

    def decode(self, data: bytes, header: Header, memory_bytes: int) -> Image:
        """Decode one file. Raises a Poison; if that is DecoderFailed, the process is gone."""
        slot = self._mapped()
        if len(data) > len(slot):
            raise FileTooLarge(f"{len(data):,} bytes; a decoder takes {len(slot):,}")
        slot[: len(data)] = data
        file = File(header, len(data), memory_bytes)
        with self._watched(file):
            return self._image(self._ask(file), header)

    def to_profile(self, pixels: Pixels, icc: bytes) -> Pixels | None:
        """Convert sRGB pixels, HWC. Return None if the profile cannot be written to. Raises as `decode` does."""
        slot = self._mapped()
        samples = np.ascontiguousarray(pixels).reshape(-1)
        converted = np.empty_like(samples)
        most = (len(slot) - len(icc)) // 3 * 3
        for at in range(0, samples.size, most):
            part = samples[at : at + most]
            np.frombuffer(slot, np.uint8, part.size)[...] = part
            slot[part.size : part.size + len(icc)] = icc
            colours = Colours(part.size // 3, len(icc), CONVERSION_BYTES + PROFILE_COPIES * len(icc))
            with self._watched(colours):
                reply = self._ask(colours)
                if not isinstance(reply, Converted):
                    raise BadReply
            if not reply.done:
                return None
            converted[at : at + most] = np.frombuffer(slot, np.uint8, part.size)
        self._empty_large_slot()
        return converted.reshape(pixels.shape)

    def _ask(self, request: Request) -> Reply:
        """Return the answer. Raises the Poison that it names."""
        protocol.send(self._connection, request)
        reply = protocol.receive_reply(self._connection, self._limits.timeout_s)
        if isinstance(reply, Ready):
            raise BadReply
        self._cpu_s, self._worn = reply.cpu_s, reply.worn
        if isinstance(reply, Refused):
            raise reply.to_error()
        return reply

    @contextmanager
    def _watched(self, request: Request) -> Iterator[None]:
        """Turn what ends the process into a DecoderFailed, and end it."""
        try:
            yield
        except TimeoutError as error:
            raise self._hung() from error
        except (EOFError, OSError, BadReply) as error:
            raise self._crashed(request) from error

    def kill(self) -> str:
        """Kill the process at once, since it holds nothing worth finishing. Return the last lines of its output."""
        if self._popen is None:
            return ""
        self._popen.kill()
        self._popen.wait()
        self._connection.close()
        return self._output.ended()

    def close(self) -> None:
        self.kill()
        if self._slot is not None:
            self._slot.close()
            os.close(self._slot_fd)
            self._slot = None

    def _make_slot(self) -> mmap.mmap:
        """Return shared memory that the process cannot truncate: reading past its end would kill the worker."""
        fd = os.memfd_create("cutstream-decoder", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, self._limits.slot_bytes)  # sparse: it takes memory only where it is touched
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            slot = mmap.mmap(fd, self._limits.slot_bytes)
        except BaseException:  # it is tried again, as long as other decoders run
            os.close(fd)
            raise
        self._slot_fd = fd
        return slot

    def _spawn(self) -> None:
        ours, theirs = protocol.connect()
        with theirs:
            fds = (theirs.fileno(), self._slot_fd)
            limits = self._limits
            arguments = [str(value) for value in (*fds, limits.slot_bytes, limits.memory_bytes, limits.timeout_s)]
            try:
                popen = subprocess.Popen(
                    [*COMMAND, *arguments],
                    pass_fds=fds,
                    start_new_session=True,  # Ctrl-C in the terminal is for the parent
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    bufsize=0,
                    env=bare_environment() | _ENVIRONMENT,
                )
            except BaseException:
                ours.close()
                raise
        self._connection, self._popen, self._cpu_s = ours, popen, 0.0
        self._worn = False
        assert popen.stdout is not None
        self._output = Output(popen.stdout, popen.pid, self._allowance)
        self._output.start()

    def _mapped(self) -> mmap.mmap:
        assert self._slot is not None, "start() comes first"
        return self._slot

    def _image(self, reply: Reply, header: Header) -> Image:
        if not isinstance(reply, Decoded) or reply.area > header.pixels:
            raise BadReply
        return self._take(reply, header.format)

    def _take(self, decoded: Decoded, format: str) -> Image:
        slot, area = self._mapped(), decoded.area
        shape = (decoded.height, decoded.width)
        pixels = np.frombuffer(slot, np.uint8, 3 * area).reshape(*shape, 3).copy()
        alpha = np.frombuffer(slot, np.uint8, area, 3 * area).reshape(shape).copy() if decoded.has_alpha else None
        end = (4 if decoded.has_alpha else 3) * area
        icc = slot[end : end + decoded.icc_bytes] or None
        self._empty_large_slot()
        return Image(pixels, alpha, format, icc, decoded.dpi, decoded.warnings)

    def _empty_large_slot(self) -> None:
        if os.fstat(self._slot_fd).st_blocks * 512 > KEPT_SLOT_BYTES:  # a decoder may fill more than it says
            self._mapped().madvise(mmap.MADV_REMOVE)

    def _hung(self) -> DecoderFailed:
        """Kill the process and return the error. One that had no processor time is not the photo's fault."""
        timeout_s = self._limits.timeout_s
        try:
            cpu_s = max(0.0, self._used_cpu_s() - self._cpu_s)  # the kernel counts in ticks
        finally:  # also without a descriptor to ask with: what it answers late must reach no other photo
            self.kill()
        if cpu_s >= BUSY_SHARE * timeout_s:
            return DecoderFailed(f"decoding takes longer than {timeout_s:g} s")
        return DecoderFailed(
            f"decoding takes longer than {timeout_s:g} s, of which the decoder ran for {cpu_s:.1f} s", "deployment"
        )

    def _used_cpu_s(self) -> float:
        """Return the processor time of all threads of the process since its start."""
        with open(f"/proc/{self.pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _crashed(self, request: Request) -> DecoderFailed:
        """Kill what is left of the process and return the error."""
        status = self._end_status()
        last = self.kill()
        if _NO_MEMORY.search(last):
            return DecoderFailed(out_of_memory(request.name, request.memory_bytes))
        what = f"the decoder crashed on this {request.name} ({_reason(status)})"
        if status == -signal.SIGKILL:
            return DecoderKilled(f"{what}: the machine may be out of memory", "deployment")
        return DecoderFailed(what)

    def _end_status(self) -> int:
        """Return how the process ended by itself, or 0 if it still runs."""
        assert self._popen is not None
        try:
            return self._popen.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            return 0


def _reason(status: int) -> str:
    if status == 0:
        return "no valid answer"
    return f"exit status {status}" if status > 0 else signal.Signals(-status).name
