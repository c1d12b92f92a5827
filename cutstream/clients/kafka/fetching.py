"""kafka-python's consumer with a fetcher that loses, skips and unpacks nothing that it should not.

It guards against traps 6, 12, 13 and 15 of the package's docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from kafka import KafkaConsumer, OffsetSpec, TopicPartition
from kafka.consumer.fetcher import Fetcher, RecordTooLargeError
from kafka.errors import CorruptRecordError, InvalidRecordError, KafkaError, LeaderNotAvailableError, UnknownError

from cutstream.clients.kafka.connection import to_partition, to_topic_partition
from cutstream.clients.kafka.record_batches import Batches, Budget
from cutstream.clients.kafka.records import Partition
from cutstream.clients.kafka.unread_records import AnswerableBatches

# One partition's errors, exactly these types: the broker finds its log corrupt or invalid, does not know what is wrong
# with it (-1), or sends a batch that is not whole. All others are about more than the records.
_OF_RECORDS = (KafkaError, CorruptRecordError, InvalidRecordError, RecordTooLargeError, UnknownError)
# A fetch may hold one batch of a quarter of a million tiny records. What is behind so many is fetched again.
_FETCH_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Records that cannot be read: those of a partition from `offset` on. Reading could go on at `next_offset`."""

    partition: Partition
    offset: int
    next_offset: int
    cause: str

    def __str__(self) -> str:
        last = self.next_offset - 1
        which = f"offsets {self.offset} to {last}" if last > self.offset else f"offset {self.offset}"
        return f"{self.partition} cannot be read at {which} ({self.cause})"


def open_consumer(**options: Any) -> Any:
    """Return a consumer of kafka-python whose `_fetcher` is a CarefulFetcher. Raises KafkaError."""
    consumer = KafkaConsumer(metrics_enabled=False, **options)  # its own, which nobody reads
    consumer._fetcher = CarefulFetcher(consumer._client, consumer._subscription, **consumer.config)
    return consumer


def position_of(consumer: Any, tp: TopicPartition, timeout_ms: int | None) -> int | None:
    """Return the offset of the next record that the consumer will deliver. None if it is not found out in time.

    The client's own `position` looks at all partitions each time, which adds up for whoever asks about all of them.
    Raises KafkaError.
    """
    state = consumer._subscription.assignment.get(tp)
    known = state.position if state is not None else None
    position: int | None = known.offset if known is not None else consumer.position(tp, timeout_ms=timeout_ms)
    return position


class CarefulFetcher(Fetcher):  # type: ignore[misc]
    """Sets a partition aside whose next records cannot be read, and delivers what is before them and all others.

    Such a partition is paused. Whoever polls asks for it with `take_unreadable`, and resumes it to try it again.
    """

    def __init__(self, client: Any, subscriptions: Any, **options: Any) -> None:
        super().__init__(client, subscriptions, **options)
        self._unreadable: list[Unreadable] = []
        self._budget = Budget()
        self.PartitionRecords = partial(_PartitionRecords, self._set_aside, self._budget)

    def take_unreadable(self) -> list[Unreadable]:
        """Return what was found to be unreadable since the last call."""
        found, self._unreadable = self._unreadable, []
        return found

    def known_ends(self, partitions: Iterable[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        """Return the ends of those partitions that have a leader. Raises KafkaError, also if none has one."""
        found = self.offsets_by_times(dict.fromkeys(partitions, OffsetSpec.LATEST), timeout_ms)
        return {tp: end.offset for tp, end in found.items() if end is not None}

    def beginning_or_end_offset(self, partitions: Any, timestamp: Any, timeout_ms: Any = None) -> Any:
        # Trap 15. It expects an answer for every partition.
        found = self.offsets_by_times(dict.fromkeys(partitions, timestamp), timeout_ms)
        if missing := [str(tp) for tp, offset in found.items() if offset is None]:
            raise LeaderNotAvailableError(f"no broker leads {', '.join(missing)}, or the topic is gone")
        return {tp: offset.offset for tp, offset in found.items()}

    def fetch_records(self, *args: Any, **options: Any) -> Any:
        # A partition whose turn does not come stays where it is, and is fetched again. It is not left behind for ever:
        # those with records are asked for last, or not at all while the reader has enough of them.
        self._budget.renew()
        # Trap 13. After it has taken records it sends the next requests, and an error of those would lose the records.
        before = [(state, state.position) for state in list(self._subscriptions.assignment.values())]
        noted = len(self._unreadable)
        try:
            return super().fetch_records(*args, **options)
        except Exception:
            for state, position in before:
                # A position that went back is that of a reset, which stands.
                if position is not None and state.position is not None and state.position.offset > position.offset:
                    state.seek(position)
            for found in self._unreadable[noted:]:  # it is found again behind these records
                if state := self._subscriptions.assignment.get(to_topic_partition(found.partition)):
                    state.resume()
            del self._unreadable[noted:]
            raise

    def _parse_fetched_data(self, completed_fetch: Any) -> Any:
        try:
            return super()._parse_fetched_data(completed_fetch)
        except KafkaError as exc:
            if type(exc) not in _OF_RECORDS:
                raise
            tp, offset = completed_fetch.topic_partition, completed_fetch.fetched_offset
            self._set_aside(tp, offset, offset + 1, exc)
            if state := self._subscriptions.assignment.get(tp):
                state.highwater = None  # this fetch had none, and that of an earlier one may be before these records
            return None

    def _set_aside(self, tp: TopicPartition, offset: int, next_offset: int, exc: Exception) -> None:
        cause = f"{type(exc).__name__}: {exc.args[0]}" if exc.args else type(exc).__name__
        self._unreadable.append(Unreadable(to_partition(tp), offset, next_offset, cause))
        if state := self._subscriptions.assignment.get(tp):  # another thread may have revoked it just now
            state.pause()


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    def __init__(
        self,
        set_aside: Callable[[TopicPartition, int, int, Exception], None],
        budget: Budget,
        *args: Any,
        **options: Any,
    ) -> None:
        self._set_aside = set_aside
        self._budget = budget
        self._batches: Batches | None = None
        super().__init__(*args, **options)

    def take(self, n: int | None = None) -> list[Any]:
        """Return the next records, up to `n`. Before one that cannot be read, it ends as if nothing were behind it.

        Trap 6. The iterator is dead after an error, and the fetcher would ask it for records for ever.
        """
        records: list[Any] = []
        try:
            records.extend(islice(self.record_iterator, n))
        except Exception as exc:
            offset = self.next_fetch_offset
            next_offset = self._batches.offset_behind(offset) if self._batches else offset + 1
            self._set_aside(self.topic_partition, offset, next_offset, exc)
            self.drain()
        return records

    def _unpack_records(self, tp: TopicPartition, records: Any, *deserializers: Any) -> Any:
        self._batches = AnswerableBatches(records._buffer, self._budget, self.fetch_offset)
        found = super()._unpack_records(tp, self._batches, *deserializers)
        left = _FETCH_RECORDS
        while left > 0:
            record = next(found, None)
            if record is None:
                return  # it has drained itself
            left -= record.offset >= self.fetch_offset
            yield record
        self.drain()

    def _contains_abort_marker(self, batch: Any) -> bool:
        # The cleaner of a compacted topic empties a producer's last batch and keeps its header.
        return batch.records_count > 0 and bool(super()._contains_abort_marker(batch))
