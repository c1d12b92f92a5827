"""The main program of a decoder process: receive a request, decode into the shared slot, describe what lies there.

It imports the decoders and nothing else of the worker, so that it starts quickly and stays small.
"""

from __future__ import annotations

import logging
import mmap
import resource
import signal
import sys
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from consumer.resources.allocator import keep_freed_memory
from cutstream.errors import Poison
from cutstream.images import Image
from cutstream.images.decode import decode
from cutstream.images.header import Header

READY = "ready"
MEMORY_PER_SLOT_BYTE = 8  # the slot has 4 bytes a pixel, so 32 a pixel: source, rotated, converted, codec state
MEMORY_FIXED_BYTES = 256_000_000
ORPHAN_TIMEOUTS = 2  # the parent kills after one time-out; without a parent the process ends itself after two


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """The file lies in the first `size` bytes of the slot."""

    header: Header
    size: int


@dataclass(frozen=True, slots=True)
class DecodeReply:
    """The slot holds height × width × 3 bytes of pixels, then height × width of alpha, if any."""

    height: int
    width: int
    has_alpha: bool
    icc: bytes | None
    dpi: tuple[float, float] | None


def main() -> None:
    connection_fd, slot_fd, slot_bytes = (int(argument) for argument in sys.argv[1:4])
    timeout_s = float(sys.argv[4])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides, by closing the connection
    warnings.simplefilter("ignore")  # damage that matters raises an error
    logging.disable()  # Pillow's remarks on lesser damage do not belong in the log
    keep_freed_memory()
    connection = Connection(connection_fd)
    with mmap.mmap(slot_fd, slot_bytes) as slot:
        _limit_memory(slot_bytes)
        try:
            connection.send(READY)
            while True:
                request: DecodeRequest = connection.recv()
                signal.setitimer(signal.ITIMER_REAL, ORPHAN_TIMEOUTS * timeout_s)
                connection.send(_serve(slot, request))
                signal.setitimer(signal.ITIMER_REAL, 0)
        except (EOFError, ConnectionError):  # the parent closed the pool, or is gone
            return


def _limit_memory(slot_bytes: int) -> None:
    """Make a decompression bomb that slips past the header check fail here instead of taking the host's memory."""
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * mmap.PAGESIZE
    limit = used + MEMORY_FIXED_BYTES + MEMORY_PER_SLOT_BYTE * slot_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(slot: mmap.mmap, request: DecodeRequest) -> DecodeReply | Poison:
    try:
        image = decode(slot[: request.size], request.header)
    except Poison as error:
        return error
    _fill(slot, image)
    return DecodeReply(image.height, image.width, image.alpha is not None, image.icc, image.dpi)


def _fill(slot: mmap.mmap, image: Image) -> None:
    planes = [image.pixels] if image.alpha is None else [image.pixels, image.alpha]
    at = 0
    for plane in planes:
        np.frombuffer(slot, np.uint8, plane.size, at).reshape(plane.shape)[...] = plane
        at += plane.size
