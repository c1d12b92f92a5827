"""Whether the default destination refuses one object, or all of them.

A store says 403, 400 or 409 both when it takes nothing of ours and when one name is taken: by a folder, by an object
where a folder is needed, by a file that is locked. The first is an outage and passes. The second stays, and senders can
bring it about for names of their choice, so workers must not wait for it.

The answers do not tell, but the other writes do. An object is at fault if it is refused `_REFUSALS` times while another
write that began in between succeeds each time. If nobody else writes, an object of a fixed name is written as a probe.
A probe that fails proves an outage, and all counts begin again: rights that come and go cost no request.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from cutstream.errors import RefusedAddress, StoreUnavailable

PROBE_NAME = "cutstream~probe"
"""A part of an address that no id becomes and no request may name: a probe that a folder of that name keeps from being
written would look like an outage."""

_REFUSALS = 3
_PROBE_INTERVAL_S = 1.0
_REMEMBERED = 4096  # objects, the oldest of which are forgotten first


@dataclass(slots=True)
class _Refused:
    times: int = 0
    last_s: float = -math.inf


class Refusals:
    """Thread-safe. `probe` writes the probe to the default destination, and raises what a write raises."""

    def __init__(self, probe: Callable[[], None], clock: Callable[[], float] = monotonic) -> None:
        self._probe = probe
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: OrderedDict[str, _Refused] = OrderedDict()
        self._worked_s = -math.inf  # when the last write that succeeded began
        self._next_probe_s = -math.inf

    def note_written(self, uri: str, began_s: float) -> None:
        """Take note of a successful write to the default destination."""
        with self._lock:
            self._refused.pop(uri, None)
            self._worked_s = max(self._worked_s, began_s)

    def is_of_this_object(self, uri: str) -> bool:
        """Take note of a refusal. Return whether it is proven now that the place takes other objects."""
        with self._lock:
            now_s, refused = self._clock(), self._refused.setdefault(uri, _Refused())
            if refused.times == 0 or self._worked_s >= refused.last_s:
                refused.times, refused.last_s = refused.times + 1, now_s
            if refused.times >= _REFUSALS:
                del self._refused[uri]
                return True
            if len(self._refused) > _REMEMBERED:
                self._refused.popitem(last=False)
            if now_s < self._next_probe_s:
                return False
            self._next_probe_s = now_s + _PROBE_INTERVAL_S
        self._try_probe()
        return False

    def _try_probe(self) -> None:
        began_s = self._clock()
        try:
            self._probe()
        except (PermissionError, RefusedAddress, StoreUnavailable):
            with self._lock:
                self._refused.clear()
        else:
            with self._lock:
                self._worked_s = max(self._worked_s, began_s)
