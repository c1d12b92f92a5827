"""What a worker may be wrong about itself: whether its network works, and whether its settings allow what they should.

Strangers may name as many hosts that do not answer, and places outside those that the settings allow, as they like.
That must not stop a worker. A worker whose network is broken, or whose settings lack a folder, sees the same, and must
not empty its topic into the dead letters. It cannot tell the two apart. So it stops for neither: requests that would
now fail for such a reason wait on the retry topic, and all others go on. The first that succeeds ends the doubt.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Literal, TypeAlias

from consumer.delivery.places import place_of
from cutstream.contract.messages import MAX_MESSAGE_CHARACTERS

log = logging.getLogger(__name__)

About: TypeAlias = Literal["network", "settings"]

MANY_PLACES = 20
"""This many hosts (or buckets of one kind of store) do not fail together, unless somebody picked them for it."""


class Doubts:
    """Thread-safe. `observe` is called with what is doubted, or no longer is.

    The network is doubted while `MANY_PLACES` hosts in a row have not answered, separately for http(s) and for each
    kind of bucket. The settings are doubted once they have refused `many_refused` pictures, until the first success.
    """

    def __init__(self, many_refused: int, observe: Callable[[About, bool], None] = lambda about, doubted: None) -> None:
        self._many_refused = many_refused
        self._observe = observe
        self._lock = threading.Lock()
        self._silent: defaultdict[str, set[str]] = defaultdict(set)  # scheme -> places; not beyond MANY_PLACES
        self._refused: set[str] = set()  # not beyond `many_refused`
        self._proven = False

    def note_silent(self, address: str, message: str) -> bool:
        """Take note of a source that does not answer. Return whether the network is in doubt."""
        place = place_of(address)
        with self._lock:
            silent = self._silent[_scheme(place)]
            if len(silent) < MANY_PLACES:
                silent.add(place)
                if len(silent) == MANY_PLACES:
                    self._observe("network", True)
                    _warn(f"{MANY_PLACES} hosts or buckets in a row do not answer. The last one: {message}")
            return len(silent) >= MANY_PLACES

    def is_network_doubted(self, address: str) -> bool:
        """Return whether the network is in doubt for sources such as this one."""
        with self._lock:
            return len(self._silent.get(_scheme(place_of(address)), ())) >= MANY_PLACES

    def note_answer(self, address: str) -> None:
        """Take note of a source that answers: the way to its like works."""
        with self._lock:
            if self._silent.pop(_scheme(place_of(address)), None):
                self._observe("network", any(len(places) >= MANY_PLACES for places in self._silent.values()))

    def note_refused(self, subject: str, message: str) -> bool:
        """Take note of a picture that the settings refuse. Return whether the settings are in doubt."""
        with self._lock:
            if self._proven:
                return False
            if len(self._refused) < self._many_refused:
                self._refused.add(subject)
                if len(self._refused) == self._many_refused:
                    self._observe("settings", True)
                    _warn(
                        f"the settings refused {self._many_refused} requests, and none succeeded. The last: {message}"
                    )
                return False  # the one that brings the doubt still fails, and so its requester learns why
            return True

    def note_success(self) -> None:
        """Take note of a finished request: the settings are right, and they do not change."""
        with self._lock:
            if not self._proven:
                self._proven = True
                self._refused.clear()
                self._observe("settings", False)


def _scheme(place: str) -> str:
    return place.partition("://")[0]


def _warn(message: str) -> None:
    log.warning(
        "%s. Requests that would fail for this wait on the retry topic (docs/runbook.md#requests-are-held-back)",
        message[:MAX_MESSAGE_CHARACTERS],
    )
