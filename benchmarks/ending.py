"""Let a program that starts servers end in order when it is interrupted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

INTERRUPTED = 130  # the exit status of a program that Ctrl-C has ended


def run(main: Callable[[], int]) -> int:
    """Call `main` and return its exit status. On Ctrl-C or SIGTERM its `with` blocks end, and with them its servers.

    Further signals are ignored meanwhile, because they would interrupt the cleaning up. Call it from the main thread.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: everything that was started has been stopped, and there is no report\n")
        return INTERRUPTED


def _interrupt(number: int, frame: object) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt
