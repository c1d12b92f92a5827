"""SIGTERM and Ctrl-C, however often they come."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue


def on_termination(stop: Callable[[], None]) -> None:
    """Calls `stop` once, from a thread of its own, when the first of these signals arrives. From the main thread only.

    A handler interrupts the main thread anywhere, another handler included: whoever presses Ctrl-C twice would find it
    waiting for a lock that it holds itself, as `threading.Event.set` does. A `SimpleQueue` is made for that.
    """
    arrived: SimpleQueue[int] = SimpleQueue()

    def wait() -> None:
        arrived.get()
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: arrived.put(number))
    threading.Thread(target=wait, name="signals", daemon=True).start()
