"""How this process's allocator treats the large arrays that every photo needs anew."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_KEPT_BYTES = 128_000_000


def keep_freed_memory(arenas: int = 2) -> None:
    """Reuses freed pages instead of returning them: a 1500×1000 photo otherwise costs thousands of page faults.

    Few arenas, because every thread that ever held a photo would keep its own pile of freed pages: with 32 carriers
    the worker's memory peaks at 440 MB with two arenas and at 765 MB without the bound. To be called before the first
    thread starts; does nothing where the C library has no mallopt (musl).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_ARENA_MAX, arenas)


def give_back_freed_memory() -> None:
    """Returns all freed pages to the system, so that what a burst of large photos took is not kept for good.

    Takes some 20 ms, and the next photos' page faults; nothing where the C library has no malloc_trim (musl).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
