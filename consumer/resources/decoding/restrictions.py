"""What a decoder process may take and do. All of it is taken away by the process itself, before its first file."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
_CAPABILITIES = struct.pack("Ii", 0x20080522, 0)  # linux/capability.h: version 3, of this thread
_OPEN_FILES = 64
_STACK_BYTES = 2_097_152
_ATTRIBUTE_BYTES = 128  # more than pthread_attr_t has on any processor
_FIRST_TO_BE_KILLED = "1000"


def restrict() -> None:
    """Give up what decoding does not need: files that grow, many open files, core dumps, privileges, even of root.

    If the machine runs out of memory, the kernel kills a decoder before the worker. Call this before any thread starts.
    """
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(_FIRST_TO_BE_KILLED)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),  # also of anonymous files in memory; the slot never grows
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        with suppress(ValueError, OSError):  # already lower
            resource.setrlimit(limit, (value, value))
    library = ctypes.CDLL(None)
    prctl = getattr(library, "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    capset = getattr(library, "capset", None)
    if capset is not None:
        capset(_CAPABILITIES, bytes(24))
    _shrink_stacks(library)


def _shrink_stacks(library: ctypes.CDLL) -> None:
    """Give the threads of the libraries small stacks: libheif's took 57 MB of address space for any picture.

    It does nothing if the C library has no such call (musl, whose stacks are small anyway).
    """
    set_default = getattr(library, "pthread_setattr_default_np", None)
    if set_default is not None:
        attributes = ctypes.create_string_buffer(_ATTRIBUTE_BYTES)
        library.pthread_attr_init(attributes)
        library.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK_BYTES))
        set_default(attributes)


class MemoryLimit:
    """Limits the address space to what there is when a file comes, `process_bytes` more, and what the file may take.

    What is left of earlier files does not count towards a file's share: not all of it can be used again. So no file
    fails for another. A process that keeps more than `kept_bytes` should be replaced; no file gets more than
    `most_bytes` beyond that.

    Create it once everything is loaded.
    """

    def __init__(self, process_bytes: int, kept_bytes: int, most_bytes: int) -> None:
        self._start = _statm()[0]
        self._process_bytes = process_bytes
        self._most = self._start + process_bytes + kept_bytes + most_bytes
        self._set(self._most, self._most)

    @property
    def kept(self) -> int:
        """The address space that the process has now, beyond what it had at the start."""
        return max(0, _statm()[0] - self._start)

    @contextmanager
    def of(self, amount: int) -> Iterator[None]:
        """Let allocations beyond `amount` bytes fail inside the block."""
        self._set(min(_statm()[0] + self._process_bytes + amount, self._most), self._most)
        try:
            yield
        finally:
            self._set(self._most, self._most)

    def _set(self, soft: int, hard: int) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def private_bytes() -> int:
    """Return the resident memory that this process shares with nobody, so without the slot."""
    _, resident, shared = _statm()
    return resident - shared


def _statm() -> list[int]:
    """Return address space, resident and shared memory in bytes."""
    return [int(pages) * mmap.PAGESIZE for pages in os.pread(_statm_file(), 200, 0).split()[:3]]


@cache
def _statm_file() -> int:
    """Open the file once: later the process may open none."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
