"""Partitions that stand still before a record that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from cutstream.clients.kafka.fetching import Unreadable
from cutstream.clients.kafka.records import Partition
from cutstream.clock import Clock

log = logging.getLogger(__name__)

_PAUSES_S = (1.0, 60.0)  # the first soon, because the network may have been at fault; then each twice the one before


class Obstacles:
    """What is unreadable, and when to try it again: ever more rarely, while the same record is in the way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Partition, tuple[Unreadable, float, float]] = {}  # with the pause, and its end

    def __len__(self) -> int:
        """Return the number of partitions that stand still."""
        return len(self._known)

    @property
    def waiting(self) -> frozenset[Partition]:
        """The partitions that are not to be tried again yet."""
        now = self._clock.monotonic()
        return frozenset(partition for partition, (_, _, until) in self._known.items() if now < until)

    def add(self, found: Unreadable) -> None:
        """Note what is unreadable, and say so in the log, also each time that it is found again."""
        first_s, longest_s = _PAUSES_S
        before, pause_s, _ = self._known.get(found.partition, (None, 0.0, 0.0))
        again = before is not None and before.offset == found.offset
        pause_s = min(2 * pause_s, longest_s) if again else first_s
        self._known[found.partition] = found, pause_s, self._clock.monotonic() + pause_s
        log.error(
            "%s: this partition stands still, the others are read on; tried again in %g s. To go on without these "
            "records, delete the partition's records before offset %d (docs/runbook.md#a-record-cannot-be-read)",
            found,
            pause_s,
            found.next_offset,
            extra={"partition": str(found.partition), "position": found.offset},
        )

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget these partitions: they begin anew, or are another worker's."""
        for partition in partitions:
            self._known.pop(partition, None)

    def forget_passed(
        self, position: Callable[[Partition], int | None], end: Callable[[Partition], int | None]
    ) -> None:
        """Forget what is behind the position of its partition: it could be read, or was deleted.

        Forget too what is not before the partition's end as of the last fetch: the log was cut off before it.
        """

        def passed(partition: Partition, offset: int) -> bool:
            last = end(partition)
            return (position(partition) or 0) > offset or (last is not None and last <= offset)

        self.forget([p for p, (found, _, _) in self._known.items() if passed(p, found.offset)])
