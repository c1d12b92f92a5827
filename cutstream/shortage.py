"""Tell a process that has run out of what the system lends it from a fault of what it works on.

A photo that cannot be opened because this process has too many files open is as good as any other.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from cutstream.causes import causes
from cutstream.errors import OutOfResources, PlaceUnavailable, Poison

_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


@contextmanager
def blaming_no_request() -> Iterator[None]:
    """Raise OutOfResources instead of an error that ends or postpones a request, if the process lacks resources.

    Some libraries do not say so (with no descriptor left, one misses its certificates), so it is tried as well.
    """
    try:
        yield
    except (Poison, PlaceUnavailable, OSError, RuntimeError) as exc:
        if lack := _lack(exc):
            raise OutOfResources(f"the worker has run out of resources: {lack}") from exc
        raise


def _lack(error: BaseException) -> str:
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _SHORTAGES:
            return os.strerror(cause.errno)
        if isinstance(cause, RuntimeError) and "start new thread" in str(cause):
            return str(cause)
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as exc:
        return os.strerror(exc.errno or 0)
    return ""
