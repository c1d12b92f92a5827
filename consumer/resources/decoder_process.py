"""What runs inside a decoder process: read a job, decode it into the shared slot, say what lies there.

Imports the decoders and nothing else of the worker, so that it starts quickly and stays small.
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
MEMORY_PER_SLOT_BYTE = 8  # the slot has 4 bytes a pixel, so 32 a pixel: source, turned, converted, codec state
MEMORY_FIXED_BYTES = 256_000_000
ORPHAN_TIMEOUTS = 2  # the parent kills after one; the process ends itself after two, should the parent be gone


@dataclass(frozen=True, slots=True)
class Job:
    """The file lies in the first `size` bytes of the slot."""

    header: Header
    size: int


@dataclass(frozen=True, slots=True)
class Decoded:
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
    warnings.simplefilter("ignore")  # what matters in a damaged file is raised;
    logging.disable()  # Pillow's advice about the rest is not for the log
    keep_freed_memory()
    connection = Connection(connection_fd)
    with mmap.mmap(slot_fd, slot_bytes) as slot:
        _limit_memory(slot_bytes)
        try:
            connection.send(READY)
            while True:
                job: Job = connection.recv()
                signal.setitimer(signal.ITIMER_REAL, ORPHAN_TIMEOUTS * timeout_s)
                connection.send(_serve(slot, job))
                signal.setitimer(signal.ITIMER_REAL, 0)
        except (EOFError, ConnectionError):  # the parent closed the pool, or is gone
            return


def _limit_memory(slot_bytes: int) -> None:
    """A bomb that slips past the header check fails here, and not by taking the host's memory."""
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * mmap.PAGESIZE
    limit = used + MEMORY_FIXED_BYTES + MEMORY_PER_SLOT_BYTE * slot_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(slot: mmap.mmap, job: Job) -> Decoded | Poison:
    try:
        image = decode(slot[: job.size], job.header)
    except Poison as error:
        return error
    _fill(slot, image)
    return Decoded(image.height, image.width, image.alpha is not None, image.icc, image.dpi)


def _fill(slot: mmap.mmap, image: Image) -> None:
    planes = [image.pixels] if image.alpha is None else [image.pixels, image.alpha]
    at = 0
    for plane in planes:
        np.frombuffer(slot, np.uint8, plane.size, at).reshape(plane.shape)[...] = plane
        at += plane.size
