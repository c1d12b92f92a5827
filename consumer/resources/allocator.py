"""Settings of this process's memory allocator for the large arrays that every photo needs anew."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_KEPT_BYTES = 128_000_000


def keep_freed_memory(arenas: int = 2) -> None:
    """Reuse freed pages instead of returning them: a 1500×1000 photo otherwise costs thousands of page faults.

    There are few arenas because every thread that ever held a photo would keep freed pages of its own: with 32 threads
    the worker's memory peaks at 440 MB with two arenas, and at 765 MB without a limit. Call this before the first
    thread starts. It does nothing if the C library has no mallopt (musl).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_ARENA_MAX, arenas)


def trim_memory() -> None:
    """Return all freed pages to the system, so that a burst of large photos does not hold memory for ever.

    This takes about 20 ms, and the next photos pay page faults. It does nothing if the C library has no malloc_trim
    (musl).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
