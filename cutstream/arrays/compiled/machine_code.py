"""Compile loops over pixels to machine code. Nothing else talks to numba, besides PyMatting.

A compiled function takes the interpreter's lock once, and frees it while it runs. OpenCV and NumPy need up to hundreds
of calls for the same work, and each takes the lock anew: with four threads that cost twice the work itself (ADR 18).

Numba keeps the code in `__pycache__`, in NUMBA_CACHE_DIR or in the user's cache folder. Where it can write to none of
them, each process compiles anew, for some seconds. Code is compiled when its module is imported: `CpuOps.load` does
that before the first photo comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core import caching

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function, signature: str) -> Function:
    """Compile a function for arguments of the types in `signature` (numba's notation), and for no others.

    Division by zero gives infinity, as in NumPy. Nothing is reordered, so all processors compute the same.
    """
    try:
        machine_code: Any = numba.njit(signature, nogil=True, error_model="numpy", cache=True)(function)
    except Exception:  # no folder can be written, or a kept file is damaged; what is wrong with the code fails again
        machine_code = numba.njit(signature, nogil=True, error_model="numpy")(function)
    return machine_code  # type: ignore[no-any-return]


def inner(function: Function) -> Function:
    """Mark a function as part of the compiled ones of its own module: numba keeps no track of other modules."""
    part: Any = numba.njit(nogil=True, error_model="numpy")(function)
    return part  # type: ignore[no-any-return]


_Locator: Any = caching.UserProvidedCacheLocator


class ReadOnlyCache(_Locator):  # type: ignore[misc]
    """Take the code that was compiled into NUMBA_CACHE_DIR, even if this process cannot write there.

    Numba itself looks only into folders that it can write to, and so would compile anew in each container whose root is
    read-only. Images name this class in NUMBA_CACHE_LOCATOR_CLASSES.
    """

    def ensure_cache_path(self) -> None:
        """Raise OSError if the folder neither exists nor can be made."""
        if not os.path.isdir(self.get_cache_path()):
            super().ensure_cache_path()
