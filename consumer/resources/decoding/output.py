"""The standard output and error of decoder processes: a few lines go to the log, the others are counted.

Libraries remark on damaged files without measure: thousands of lines for one file. The pipe is always read on, or the
decoder would wait for room in it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from cutstream.clock import Clock

log = logging.getLogger(__name__)

LINES = 20
PER_S = 60.0
LINE_CHARACTERS = 300
_LAST_LINES = 5
_READ_BYTES = 65_536


class LineAllowance:
    """Lets LINES lines through in each PER_S, for all decoders together. Thread-safe."""

    def __init__(self, clock: Clock, on_dropped: Callable[[int], None]) -> None:
        self._clock = clock
        self._on_dropped = on_dropped
        self._lock = threading.Lock()
        self._since_s = clock.monotonic()
        self._left = LINES

    def take(self, lines: int) -> int:
        """Return how many of these lines may be logged. The others count as dropped."""
        with self._lock:
            now_s = self._clock.monotonic()
            if now_s - self._since_s >= PER_S:
                self._since_s, self._left = now_s, LINES
            allowed = min(lines, self._left)
            self._left -= allowed
        if lines > allowed:
            self._on_dropped(lines - allowed)
        return allowed


class Output:
    """Reads what one decoder process writes, on a thread of its own, until the process ends."""

    def __init__(self, pipe: IO[bytes], pid: int, allowance: LineAllowance) -> None:
        self._pipe = pipe
        self._pid = pid
        self._allowance = allowance
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._thread = threading.Thread(target=self._read, name="decoder-output", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ended(self) -> str:
        """Return the last lines. Call this when the process has ended."""
        if self._thread.ident is None:
            self._pipe.close()
        else:
            self._thread.join(1.0)
        return "; ".join(self._last)

    def _read(self) -> None:
        with self._pipe as pipe, suppress(OSError):
            rest = b""
            while chunk := pipe.read(_READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[: 4 * LINE_CHARACTERS]
                self._take(lines)
            self._take([rest] if rest else [])

    def _take(self, lines: list[bytes]) -> None:
        self._last.extend(map(_text, lines[-_LAST_LINES:]))
        for line in lines[: self._allowance.take(len(lines))]:
            log.warning("decoder: %s", _text(line), extra={"pid": self._pid})


def _text(line: bytes) -> str:
    """Return the line's beginning. What is no printable ASCII is escaped: a terminal may show the log."""
    text = line[:LINE_CHARACTERS].strip().decode("latin-1")
    return "".join(char if " " <= char <= "~" else f"\\x{ord(char):02x}" for char in text)
