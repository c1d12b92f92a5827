"""Handle SIGTERM and Ctrl-C, which may arrive more than once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue


def on_termination(stop: Callable[[], None]) -> None:
    """Call `stop` once, in a separate thread, when SIGTERM or SIGINT arrives for the first time.

    Must be called from the main thread.
    """
    # A signal handler can interrupt the main thread anywhere, even inside another handler. `threading.Event.set` would
    # then wait for a lock that the same thread holds: a second Ctrl-C would hang. `SimpleQueue.put` is reentrant.
    arrived: SimpleQueue[int] = SimpleQueue()

    def wait() -> None:
        arrived.get()
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: arrived.put(number))
    threading.Thread(target=wait, name="signals", daemon=True).start()


def exit_on_termination() -> None:
    """Make SIGTERM end the program as an exception does, so that what it has opened is closed and removed.

    It exits with 143, as a shell reports SIGTERM. Must be called from the main thread.
    """

    def leave(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the end
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
