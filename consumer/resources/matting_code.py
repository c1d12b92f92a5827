"""PyMatting's machine code, which another process compiles before the first photo that needs it.

It takes a minute, once for each machine that keeps it (NUMBA_CACHE_DIR). Photos that need it wait meanwhile without a
slot, so that those of other requests go on.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence

from cutstream.errors import MattingNotReady
from cutstream.matting.exact_matting import COMPILE
from cutstream.settings import own_environment

_ASK_AGAIN_S = 1.0
_CLOSE_S = 5.0


class MattingCode:
    """Compiles at the first call of `require`. Thread-safe."""

    def __init__(self, command: Sequence[str] = COMPILE) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def require(self) -> None:
        """Raise MattingNotReady until the code is compiled.

        If that fails, the photo's own attempt tells why: this returns then, too.
        """
        with self._lock:
            if self._process is None:
                self._process = self._start()
            if self._process.poll() is None:
                raise MattingNotReady("PyMatting is being compiled", _ASK_AGAIN_S)

    def close(self) -> None:
        """End the process, if it runs."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                return
            self._process.kill()
            self._process.wait(_CLOSE_S)

    def _start(self) -> subprocess.Popen[bytes]:
        nowhere = subprocess.DEVNULL
        try:
            return subprocess.Popen(self._command, stdin=nowhere, stdout=nowhere, stderr=nowhere, env=own_environment())
        except OSError as exc:
            raise MattingNotReady(f"no process can be started to compile PyMatting: {exc.strerror}") from exc
