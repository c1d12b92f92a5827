"""Batches of records, read as the protocol allows them and unpacked within limits.

kafka-python refuses header names that are not UTF-8, and unpacks without a limit (trap 12 of the package's docstring).
"""

from __future__ import annotations

import struct
from typing import Any

from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.default_records import ControlRecord, DefaultRecord, DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.util import decode_varint

from cutstream.clients.kafka.compression import TooLarge, unpack
from cutstream.clients.kafka.records import MAX_RECORD_BYTES

# The largest record that the product's own topics take, and 16 MiB more. A producer packs its batches full before it
# compresses them, by default to 1 MiB at most; those that guess the rate of compression reach this only at 24 times.
MAX_BATCH_BYTES = MAX_RECORD_BYTES + 16 * 1024 * 1024
# A record, or a header, without any content takes so much memory, at least, once it is an object.
RECORD_OVERHEAD_BYTES = 100
# A fetch may hold many batches that are small packed. What is behind so much of them is fetched again.
_FETCH_BYTES = 4 * 1024 * 1024
_POLL_BYTES = 32 * 1024 * 1024  # likewise, of all fetches together that a poll takes up
_OFFSET = struct.Struct(">q")  # with which every batch begins


class HeaderName(str):
    """A header's name for kafka-python, which is text there and bytes in the protocol.

    Bytes that are not UTF-8 are lone surrogates in the text, as in Python's file names, and become those bytes again.
    """

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode(encoding, "surrogateescape")


class Budget:
    """What the fetches that a poll takes up may have unpacked together before they end early."""

    def __init__(self) -> None:
        self._unpacked_bytes = 0

    @property
    def spent(self) -> bool:
        return self._unpacked_bytes > _POLL_BYTES

    def spend(self, unpacked_bytes: int) -> None:
        self._unpacked_bytes += unpacked_bytes

    def renew(self) -> None:
        """Begin a new poll."""
        self._unpacked_bytes = 0


class Batches(MemoryRecords):  # type: ignore[misc]
    """The batches of a fetch. It ends early, before or behind a whole batch, once enough was unpacked."""

    __slots__ = ("_budget", "_unpacked_bytes", "current")

    def __init__(self, fetched: Any, budget: Budget) -> None:
        self.current: Any = None
        self._unpacked_bytes = 0
        self._budget = budget
        super().__init__(fetched)

    def next_batch(self) -> Any:
        """Return the next batch, or None. Raises CorruptRecordError."""
        if self.current is not None:
            self._unpacked_bytes += self.current.unpacked_bytes
            self._budget.spend(self.current.unpacked_bytes)
        if self._unpacked_bytes > _FETCH_BYTES or self._budget.spent:
            return None
        batch = super().next_batch()
        if isinstance(batch, DefaultRecordBatch):
            self.current = self._open(batch._buffer)
        elif batch is not None:
            self.current = _LegacyBatch(batch._buffer, batch.magic)
        return batch and self.current

    def _open(self, data: bytes) -> Batch:
        return Batch(data)

    def offset_behind(self, offset: int) -> int:
        """Return where to read on if the current batch cannot be read from `offset` on, and never further.

        The header of a batch whose checksum is wrong may be what is wrong. It is then believed no more than the batch
        behind it, and without one, the answer is the next offset.
        """
        batch = self.current
        if batch is None:
            return offset + 1
        if self._next_slice is not None:
            following = int(_OFFSET.unpack_from(self._next_slice)[0])
            return max(offset + 1, min(following, int(batch.next_offset)))
        is_whole = batch._decompressed or batch.validate_crc()  # it is unpacked only after it was checked
        return max(offset + 1, int(batch.next_offset)) if is_whole else offset + 1


class Batch(DefaultRecordBatch):  # type: ignore[misc]
    _buffer: bytes | bytearray
    _pos: int
    _decompressed: bool

    _headers = 0  # of the records that were read
    _cut: TooLarge | None = None  # the reason why only the beginning of the batch was unpacked

    @property
    def unpacked_bytes(self) -> int:
        # Records of aborted transactions are never read: they take no more memory than they have packed.
        return len(self._buffer) + (self._overhead_bytes if self._decompressed else 0)

    @property
    def _overhead_bytes(self) -> int:
        return (max(0, int(self.records_count)) + self._headers) * RECORD_OVERHEAD_BYTES

    def _maybe_uncompress(self) -> None:
        if self.compression_type and not self._decompressed:
            limit = MAX_BATCH_BYTES - self._overhead_bytes
            if limit < 0:
                raise TooLarge(f"its {len(self._buffer)} bytes unpack to {self.records_count} records")
            try:
                self._buffer = unpack(self.compression_type, bytes(self._buffer[self._pos :]), limit)
            except TooLarge as exc:
                if not exc.beginning:
                    raise
                self._buffer, self._cut = exc.beginning, exc
            self._pos = 0
        self._decompressed = True

    def _read_msg(self, *_: Any) -> Any:
        """Read the next record. Raises TooLarge or CorruptRecordError; ValueError and IndexError mean the latter."""
        try:
            return self._read_record()
        except (CorruptRecordError, ValueError, IndexError) as exc:
            if self._cut is not None:
                raise self._cut from exc
            raise

    def _read_record(self) -> Any:
        length, start = decode_varint(self._buffer, self._pos)
        end = start + length
        if not start < end <= len(self._buffer):
            raise CorruptRecordError(f"a record of {length} bytes where {len(self._buffer) - start} are left")
        delta_ms, position = decode_varint(self._buffer, start + 1)  # behind the attributes, which have no meaning yet
        offset_delta, position = decode_varint(self._buffer, position)
        key, position = self._read_bytes(position)
        value, position = self._read_bytes(position)
        count, position = decode_varint(self._buffer, position)
        if count < 0:
            raise CorruptRecordError(f"a record with {count} headers")
        self._headers += count
        if len(self._buffer) + self._overhead_bytes > MAX_BATCH_BYTES:
            raise TooLarge(
                f"its {len(self._buffer)} bytes are {self.records_count} records and {self._headers} headers"
            )
        headers = []
        for _number in range(count):
            name, position = self._read_bytes(position)
            if name is None:
                raise CorruptRecordError("a header without a name")
            text, position = self._read_bytes(position)
            headers.append((_header_name(name), text))
        if position != end:
            raise CorruptRecordError(f"a record of {length} bytes whose parts take {position - start}")
        self._pos = end
        kind = ControlRecord if self.is_control_batch else DefaultRecord
        timestamp = self.max_timestamp if self.timestamp_type else _int64(self.first_timestamp + delta_ms)
        return kind(length, self.base_offset + offset_delta, timestamp, self.timestamp_type, key, value, headers)

    def _read_bytes(self, position: int) -> tuple[bytes | None, int]:
        length, position = decode_varint(self._buffer, position)
        if length < 0:
            return None, position
        if length > len(self._buffer) - position:
            raise CorruptRecordError(f"{length} bytes where {len(self._buffer) - position} are left")
        return bytes(self._buffer[position : position + length]), position + length


class _LegacyBatch(LegacyRecordBatch):  # type: ignore[misc]
    """A batch from before Kafka 0.11, which has no headers."""

    _records = 1

    @property
    def unpacked_bytes(self) -> int:
        return len(self._buffer) + self._records * RECORD_OVERHEAD_BYTES

    @property
    def next_offset(self) -> int:
        return int(self.base_offset) + 1  # the offset of a compressed one is that of its last record

    def _decompress(self, key_offset: int) -> bytes:
        data = bytes(self._read_key_value(key_offset)[1] or b"")
        return unpack(self.compression_type, data, MAX_BATCH_BYTES)

    def _read_all_headers(self) -> list[tuple[Any, int]]:
        """Find the records of an unpacked batch. The inherited method believes every length, and -12 for ever."""
        least = self.RECORD_OVERHEAD_V1 if self._magic else self.RECORD_OVERHEAD_V0
        found = []
        position = 0
        while position < len(self._buffer):
            header = self._read_header(position)
            length, left = header[1], len(self._buffer) - position - self.LOG_OVERHEAD
            if not least <= length <= left:
                raise CorruptRecordError(f"a record of {length} bytes where {left} are left")
            found.append((header, position))
            self._records = len(found)
            if self.unpacked_bytes > MAX_BATCH_BYTES:
                raise TooLarge(f"its {len(self._buffer)} bytes hold {len(found)} records and more")
            position += self.LOG_OVERHEAD + length
        return found


def _int64(number: int) -> int:
    """Return the number as the broker computes it, where a sum that is too large begins again below."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _header_name(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return HeaderName(name.decode(errors="surrogateescape"))
