"""Start what needs a broker, wait for one that is not there yet, and stop at once when asked to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError

from consumer.runner import backoff_s
from cutstream.errors import BrokerUnavailable

log = logging.getLogger(__name__)

_STOP_CHECK_S = 0.1


def start_with_broker(start: Callable[[], None], stop: threading.Event) -> bool:
    """Call `start` until a broker answers it, and say once that this waits. Return False if `stop` is set meanwhile.

    `start` then may go on in its thread: a client cannot be interrupted, and the process ends with it.
    """
    attempt, problem = 0, ""
    while not stop.is_set():
        attempt += 1
        try:
            if not _finishes(start, stop):
                return False
            if problem:
                log.info("the broker answers")
            return True
        except BrokerUnavailable as exc:
            if str(exc) != problem:
                log.warning("waiting for the broker: %s", exc)
            problem = str(exc)
            stop.wait(backoff_s(attempt))
    return False


def _finishes(function: Callable[[], None], stop: threading.Event) -> bool:
    """Call it in a thread. Return True when it has returned, False when `stop` is set first. Raises its error."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            function()
            done.set_result(None)
        except BaseException as exc:  # handed on to the caller
            done.set_exception(exc)

    threading.Thread(target=run, name="start", daemon=True).start()
    while not stop.is_set():
        try:
            done.result(_STOP_CHECK_S)
            return True
        except TimeoutError:
            if done.done():  # its own time-out, not this one's
                raise
    return False
