"""Who may write to a destination of its own now: one that is away must not hold what others need.

A request that names its destination is carried through all stages before anybody knows whether it can be stored. So

* requests' own destinations together have `_ALL_NAMED` of the worker's `STORE_SLOTS` writes at once, and no more than
  half of its window; one of them has three quarters of that. The rest is for the default destination;
* a request waits `_PATIENCE_S` for its turn to write, then it goes to the retry topic;
* a destination that did not answer `AWAY_AFTER` writes in a row is away. Its requests go to the retry topic, wherever
  they are. From there, one in `_PROBE_S` tries it, until it answers again.

A destination is a bucket or an allowed folder here. The default destination is none of these: its photos wait for it
without end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from consumer.resources.priority_semaphore import Order, PrioritySemaphore
from consumer.resources.untried import Reason, UntriedDestination
from cutstream.clock import Clock
from cutstream.contract.messages import MAX_MESSAGE_CHARACTERS
from cutstream.errors import DestinationUnavailable, RefusedDestination

log = logging.getLogger(__name__)

STORE_SLOTS = 24
AWAY_AFTER = 3

_ALL_NAMED = 16
_KNOWN_ADDRESSES = 1024
_PATIENCE_S = 10.0
_PROBE_S = 15.0  # the time from a request's admission to the end of its first write


@dataclass(slots=True)
class _Place:
    """A bucket or folder. `failed` counts failed writes in a row; the default destination is in one that `is_ours`."""

    name: str
    slots: PrioritySemaphore
    failed: int = 0
    is_ours: bool = False
    next_probe_s: float = 0.0

    @property
    def is_away(self) -> bool:
        return self.failed >= AWAY_AFTER


class Destinations:
    """Thread-safe. `place_of` returns the place of an address; those that the settings allow are not many.

    `window` is the number of photos that the worker carries at once. `count` is called for each request that goes on
    untried.
    """

    def __init__(
        self,
        place_of: Callable[[str], str],
        window: int,
        clock: Clock,
        count: Callable[[Reason], None] = lambda reason: None,
    ) -> None:
        self._place_of = lru_cache(_KNOWN_ADDRESSES)(place_of)  # each stage of each photo asks
        self._clock = clock
        self._count = count
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}
        named = max(1, min(_ALL_NAMED, window // 2))
        self._one_named = max(1, named * 3 // 4)
        self._named = PrioritySemaphore(named)

    def expect(self, address: str | None, again: bool) -> None:
        """Raise Untried if a request need not begin, because its destination is away. Call this once for each.

        `address` is None for the default destination. `again` says that the request comes from the retry topic.
        """
        if address is None:
            return
        with self._lock:
            place, now_s = self._place(address), self._clock.monotonic()
            if not place.is_away:
                return
            if again and now_s >= place.next_probe_s:
                place.next_probe_s = now_s + _PROBE_S
                return
        raise self._untried(place, "silent", again)

    def refuse_away(self, address: str | None, again: bool) -> None:
        """Raise Untried for a request that is under way while others find its destination away."""
        if address is not None and not again:
            with self._lock:
                place = self._place(address)
            if place.is_away:
                raise self._untried(place, "silent")

    @contextmanager
    def writing(self, address: str | None, order: Order, give_up: Callable[[], None]) -> Iterator[None]:
        """Hold the right to write to this address inside the block, and take note of how that ends.

        Raises Untried instead of a long wait. `give_up` is called while it waits; what it raises ends the wait.
        """
        if address is None:
            yield
            return
        with self._lock:
            place, since_s = self._place(address), self._clock.monotonic()

        def wait() -> None:
            give_up()
            if self._clock.monotonic() - since_s >= _PATIENCE_S:
                raise self._untried(place, "crowded")

        wait()
        with place.slots.acquire(order, give_up=wait), self._named.acquire(order, give_up=wait), self._noting(place):
            yield

    @contextmanager
    def _noting(self, place: _Place) -> Iterator[None]:
        try:
            yield
        except DestinationUnavailable as exc:
            with self._lock:
                place.failed, place.is_ours = place.failed + 1, exc.is_ours
                if place.failed == AWAY_AFTER:
                    log.warning(
                        "%d writes in a row have failed: %s. Requests for this bucket or folder wait on the retry "
                        "topic, and one at a time is tried",
                        AWAY_AFTER,
                        str(exc)[:MAX_MESSAGE_CHARACTERS],
                    )
            raise
        except RefusedDestination:  # that is an answer, too
            self._note_answer(place)
            raise
        else:
            self._note_answer(place)

    def _note_answer(self, place: _Place) -> None:
        with self._lock:
            if place.is_away:
                log.info("%s answers again", place.name)
            place.failed = 0

    def _place(self, address: str) -> _Place:
        name = self._place_of(address)
        if name not in self._places:
            self._places[name] = _Place(name, PrioritySemaphore(self._one_named))
        return self._places[name]

    def _untried(self, place: _Place, reason: Reason, tried_by_another: bool = False) -> UntriedDestination:
        self._count(reason)
        why = {
            "silent": f"the last {place.failed} writes to {place.name} have failed",
            "crowded": f"too many outputs are being written to {place.name}, or to other destinations of requests",
        }
        message = f"destination: {why[reason]}, so this one was not tried"
        return UntriedDestination(message, reason, place.is_ours, tried_by_another)
