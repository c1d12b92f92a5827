"""Which photos wait for something to be ready, and since when: the truth behind `cutstream_waiting` and `/readyz`."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cutstream.clock import Clock

GRACE_S = 5.0
"""A wait of this length without a success in its stage means that what is waited for is away. Most waits are shorter:
one lost connection, one full queue."""


class Waits:
    """Thread-safe. `observe` is called with a reason and the number of photos that wait for it, after every change."""

    def __init__(self, clock: Clock, observe: Callable[[str, int], None] = lambda reason, photos: None) -> None:
        self._clock = clock
        self._observe = observe
        self._lock = threading.Lock()
        self._since: dict[tuple[str, str], dict[Wait, float]] = defaultdict(dict)  # by reason and stage
        self._succeeded: dict[str, float] = {}  # by stage

    @contextmanager
    def in_stage(self, stage: str) -> Iterator[Wait]:
        """Yield the wait of one photo in a stage, which ends with the block. Without an error, the stage succeeded."""
        wait = Wait(self, stage)
        try:
            yield wait
            with self._lock:
                self._succeeded[stage] = self._clock.monotonic()
        finally:
            self._move(wait, None)

    def is_away(self, *reasons: str) -> bool:
        """Return whether photos have waited for one of these for GRACE_S, and no photo got past them meanwhile."""
        with self._lock:
            recent = self._clock.monotonic() - GRACE_S
            return any(
                min(since.values()) <= recent and self._succeeded.get(stage, recent) <= recent
                for (reason, stage), since in self._since.items()
                if reason in reasons and since
            )

    def _move(self, wait: Wait, reason: str | None) -> None:
        if wait.reason == reason:
            return
        with self._lock:
            now = self._clock.monotonic()
            for changed in filter(None, (wait.reason, reason)):
                photos = self._since[changed, wait.stage]
                if changed == reason:
                    photos[wait] = now
                else:
                    del photos[wait]
                self._observe(changed, sum(len(since) for (of, _), since in self._since.items() if of == changed))
            wait.reason = reason


class Wait:
    """One photo in one stage."""

    def __init__(self, waits: Waits, stage: str) -> None:
        self._waits = waits
        self.stage = stage
        self.reason: str | None = None

    def begin(self, reason: str) -> None:
        """The photo waits for this from now on, until it has passed the stage, also while it is tried again."""
        self._waits._move(self, reason)
