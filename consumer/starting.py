"""Start what needs a broker, wait for one that is not there yet, and stop at once when asked to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from typing import TypeVar

from consumer.runner import backoff_s
from cutstream.clients.kafka import NoTopic
from cutstream.clock import Clock
from cutstream.errors import BrokerUnavailable, CutstreamError

log = logging.getLogger(__name__)

T = TypeVar("T")

_STOP_CHECK_S = 0.1
_QUIET_PAUSE_S = 0.05


class StartPeriod:
    """The time in which servers may be missing that are started together with this worker."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._ends = clock.monotonic() + seconds

    @property
    def lasts(self) -> bool:
        return self._clock.monotonic() < self._ends

    def excuses(self, problem: CutstreamError) -> bool:
        """Tell whether the problem is one of a server that has not come up yet. It needs no word in the log then."""
        return isinstance(problem, BrokerUnavailable | NoTopic) and self.lasts


def start_with_broker(
    start: Callable[[], None],
    stop: threading.Event,
    is_excused: Callable[[CutstreamError], bool] = lambda problem: False,
) -> bool:
    """Call `start` until a broker answers it, and say once that this waits. Return False if `stop` is set meanwhile.

    Nothing is said of problems that are excused, and `start` is soon called again. When `stop` is set, it may go on in
    its thread: a client cannot be interrupted, and the process ends with it.
    """
    attempt, problem = 0, ""
    while not stop.is_set():
        try:
            if not _finishes(start, stop):
                return False
            if problem:
                log.info("the broker answers")
            return True
        except (BrokerUnavailable, NoTopic) as exc:
            if is_excused(exc):
                stop.wait(_QUIET_PAUSE_S)
                continue
            if not isinstance(exc, BrokerUnavailable):
                raise
            attempt += 1
            if str(exc) != problem:
                log.warning("waiting for the broker: %s", exc)
            problem = str(exc)
            stop.wait(backoff_s(attempt))
    return False


def in_background(function: Callable[[], T]) -> Future[T]:
    """Call it in a thread of its own, which does not keep the process from ending."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(function())
        except BaseException as exc:  # handed on to the caller
            done.set_exception(exc)

    threading.Thread(target=run, name="start", daemon=True).start()
    return done


def _finishes(function: Callable[[], None], stop: threading.Event) -> bool:
    """Call it in a thread. Return True when it has returned, False when `stop` is set first. Raises its error."""
    done = in_background(function)
    while not stop.is_set():
        try:
            done.result(_STOP_CHECK_S)
            return True
        except TimeoutError:
            if done.done():  # its own time-out, not this one's
                raise
    return False
