"""Random names that nobody can guess."""

from __future__ import annotations

import base64
import os

_POOL_BYTES = 4096
_BYTES = 18  # 144 bits, which are 24 characters


class RandomNames:
    """Makes names of letters, digits, - and _. One thread uses it.

    It asks the system for many bytes at once: each time it is asked, Python lets another thread run, and the event loop
    waits for its turn.
    """

    def __init__(self) -> None:
        self._pool = b""

    def next(self) -> str:
        if len(self._pool) < _BYTES:
            self._pool = os.urandom(_POOL_BYTES)
        taken, self._pool = self._pool[:_BYTES], self._pool[_BYTES:]
        return base64.urlsafe_b64encode(taken).decode()
