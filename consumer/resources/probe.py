"""Ask a server again and again, in the background, whether it is there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from cutstream.clock import Clock
from cutstream.errors import CutstreamError

log = logging.getLogger(__name__)

_INTERVAL_S = 2.0
_FIRST_PAUSE_S, _GROWTH = 0.1, 1.3
_LIMIT_S = 8.0  # an answer that is older counts as none: the question itself hangs
_CLOSE_S = 5.0


class Probe:
    """Calls `ask` every other second, on a thread of its own. False and CutstreamError both mean no.

    Before the first yes it asks more often: the server may be about to start.
    """

    def __init__(self, name: str, ask: Callable[[], bool], clock: Clock) -> None:
        self._name = name
        self._ask = ask
        self._clock = clock
        self._stop = threading.Event()
        self._answered_s = -float("inf")
        self._answer = False
        self._thread = threading.Thread(target=self._run, name=f"probe-{name}", daemon=True)

    @property
    def ok(self) -> bool:
        """The last answer, and False if there was none for 8 s. It never waits."""
        return self._answer and self._clock.monotonic() - self._answered_s < _LIMIT_S

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        failed, pause_s = "", _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                self._answer = self._ask()
            except CutstreamError:  # the part that needs the server says so itself
                self._answer = False
            except Exception as exc:
                self._answer = False
                if repr(exc) != failed:
                    log.exception("probe of %s failed", self._name)
                failed = repr(exc)
            self._answered_s = self._clock.monotonic()
            pause_s = _INTERVAL_S if self._answer else min(_INTERVAL_S, pause_s * _GROWTH)
            self._stop.wait(pause_s)
