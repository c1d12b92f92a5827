"""Batches that their senders made unreadable: each record that cannot be read comes without its content.

A batch whose checksum is right is as its sender wrote it, and the broker has looked at no more of it than it must: a
kilobyte may unpack to gigabytes. So the sender is at fault, and the partition must not stop for it: whoever sent other
records there would wait for an operator.
"""

from __future__ import annotations

from typing import Any

from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.record.default_records import DefaultRecord
from kafka.record.util import decode_varint

from cutstream.clients.kafka.compression import Damaged, TooLarge
from cutstream.clients.kafka.record_batches import MAX_BATCH_BYTES, RECORD_OVERHEAD_BYTES, Batch, Batches, Budget
from cutstream.clients.kafka.records import Unread

# What is wrong with the records themselves. An error of another kind, such as no memory, is not their sender's fault.
_OF_SENDER = (CorruptRecordError, TooLarge, Damaged, UnsupportedCodecError)


class AnswerableBatches(Batches):
    """Batches whose checksums the caller checks before it reads their records, from `first_offset` on.

    Those of Kafka's older formats, which no broker takes any more, are read as `Batches` reads them.
    """

    __slots__ = ("_first_offset",)

    def __init__(self, fetched: Any, budget: Budget, first_offset: int = 0) -> None:
        self._first_offset = first_offset
        super().__init__(fetched, budget)

    def _open(self, data: bytes) -> Batch:
        return _AnswerableBatch(data, self._first_offset)


class _AnswerableBatch(Batch):
    """Ends with a record for each one that cannot be read, whose value is an Unread.

    If it counts more records than a worker reads, the last of them stands for all: a few bytes may hold millions.
    """

    _fault: Exception | None = None
    _next_offset = -1

    def __init__(self, data: bytes, first_offset: int) -> None:
        super().__init__(data)
        self._first_offset = first_offset

    @property
    def unpacked_bytes(self) -> int:
        return len(self._buffer) + (self._overhead_bytes if self._decompressed or self._fault else 0)

    def __iter__(self) -> Any:
        try:
            super().__iter__()
        except _OF_SENDER as exc:
            self._give_up(exc)
        else:
            self._skip()
        return self

    def _skip(self) -> None:
        """Pass the records that were read from an earlier fetch, by their lengths alone: they may be very many."""
        if self.records_count != self.last_offset_delta + 1:  # the log cleaner has removed some
            return
        end = self._pos
        while self._next_record_index < min(self._first_offset - self.base_offset, self.records_count):
            try:
                length, start = decode_varint(self._buffer, end)
            except (ValueError, IndexError):
                return  # reading it finds the same
            end = start + length
            if not start < end <= len(self._buffer):
                return
            self._pos = end
            self._next_record_index += 1
            self._next_offset = self.base_offset + self._next_record_index

    def __next__(self) -> Any:
        if self._fault is None:
            try:
                record = super().__next__()
            except _OF_SENDER as exc:
                self._give_up(exc)
            else:
                self._next_offset = record.offset + 1
                return record
        if self._next_offset > self.last_offset:
            raise StopIteration
        offset, self._next_offset = self._next_offset, self._next_offset + 1
        timestamp = self.max_timestamp if self.timestamp_type else self.first_timestamp
        return DefaultRecord(0, offset, timestamp, self.timestamp_type, None, Unread(str(self._fault)), [])

    def _give_up(self, exc: Exception) -> None:
        if self.is_control_batch:  # the broker wrote it
            raise exc
        self._fault = exc
        self._next_offset = max(self._next_offset, self.base_offset)
        if self.records_count * RECORD_OVERHEAD_BYTES > MAX_BATCH_BYTES:
            self._next_offset = max(self._next_offset, self.last_offset)
