"""Finds partitions that stand still, whatever the cause."""

from __future__ import annotations

from collections.abc import Mapping

from cutstream.clients.kafka.records import Partition
from cutstream.clock import Clock

_LOOKS = 5  # a process that was frozen for a while wakes up to one more look, not to a stall


class StallWatch:
    """Counts how often in a row a partition was below its end and had not moved since the look before.

    A partition stalls when that lasts for `stall_s`. It is then counted anew.
    """

    def __init__(self, stall_s: float, clock: Clock) -> None:
        self._interval_s = stall_s / _LOOKS
        self._clock = clock
        self._next_look = clock.monotonic()
        self._seen: dict[Partition, tuple[int, int]] = {}

    @property
    def due(self) -> bool:
        """True when it is time for the next look."""
        return self._clock.monotonic() >= self._next_look

    def look(self, behind: Mapping[Partition, int]) -> frozenset[Partition]:
        """Return the stalled ones of the partitions that are behind, given with their positions."""
        self._next_look = self._clock.monotonic() + self._interval_s
        before, self._seen = self._seen, {}
        stalled = set()
        for partition, position in behind.items():
            moved_from, times = before.get(partition, (position, 0))
            times = times + 1 if moved_from == position else 1
            if times > _LOOKS:
                stalled.add(partition)
            else:
                self._seen[partition] = position, times
        return frozenset(stalled)

    def restart(self, pause_s: float = 0.0) -> None:
        """Count anew, and look again after `pause_s` at the earliest."""
        self._seen.clear()
        self._next_look = max(self._next_look, self._clock.monotonic() + pause_s)
