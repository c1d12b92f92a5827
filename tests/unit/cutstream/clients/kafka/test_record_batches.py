from __future__ import annotations

import struct
import tracemalloc

import pytest
import snappy
from kafka.codec import gzip_encode, zstd_encode
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.util import calc_crc32c

from cutstream.clients.kafka import record_batches
from cutstream.clients.kafka.compression import TooLarge, unpack
from cutstream.clients.kafka.record_batches import Batches, Budget, HeaderName

MIB = 1024 * 1024
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
CODECS = [GZIP, SNAPPY, LZ4, ZSTD]
PACKED = [(codec, 2) for codec in CODECS] + [(codec, 1) for codec in (GZIP, SNAPPY, LZ4)] + [(GZIP, 0), (SNAPPY, 0)]
"""Each compression with the version of the format, which had no zstd at first, and its first lz4 is refused."""
HEADER, HEADER_FROM = DefaultRecordBatch.HEADER_STRUCT, DefaultRecordBatch.ATTRIBUTES_OFFSET
PLACES = {"length": 1, "attributes": 5, "last_offset_delta": 6, "max_timestamp": 8, "count": 12}
NOT_UTF_8 = b"caf\xe9 \xff"
NAME = NOT_UTF_8.decode(errors="surrogateescape")


def written(values, codec=0, magic=2, headers=()) -> bytes:
    builder = MemoryRecordsBuilder(magic=magic, compression_type=codec, batch_size=1 << 30)
    for value in values:
        builder.append(timestamp=5, key=b"k", value=value, headers=list(headers))
    builder.close()
    return bytes(builder.buffer())


def at(base: int, data: bytes, **changes) -> bytes:
    """Move a batch to an offset, as a broker does, and change other fields of its header."""
    moved = bytearray(struct.pack(">q", base) + data[8:])
    if changes:
        fields = list(HEADER.unpack_from(moved))
        for name, value in changes.items():
            fields[PLACES[name]] = value
        HEADER.pack_into(moved, 0, *fields)
        struct.pack_into(">I", moved, DefaultRecordBatch.CRC_OFFSET, calc_crc32c(moved[HEADER_FROM:]))
    return bytes(moved)


def nesting(packed: bytes) -> bytes:
    """Return a record of the oldest format that has others in it, packed with gzip."""
    outer = bytearray(written([packed], magic=0))
    outer[LegacyRecordBatch.HEADER_STRUCT_V0.size - 1] = GZIP
    return bytes(outer)


def batches_of(data: bytes) -> Batches:
    return Batches(data, Budget())


def records(data: bytes) -> list:
    return [record for batch in batches_of(data) for record in batch]


@pytest.mark.parametrize(("codec", "magic"), [(0, 0), (0, 1), (0, 2), *PACKED])
def test_every_record_comes_as_it_was_written(codec, magic) -> None:
    headers = [("h", b"1"), ("none", None)] if magic == 2 else []
    values = [b"compressible" * 100, b"", b"x"]
    found = records(written(values, codec, magic, headers))
    assert [record.value for record in found] == values
    assert [record.offset for record in found] == [0, 1, 2]
    timestamp = 5 if magic else None
    assert all((record.key, record.timestamp, record.headers) == (b"k", timestamp, headers) for record in found)


@pytest.mark.parametrize(("codec", "magic", "offset"), [(0, 2, 10), (ZSTD, 2, 10), (GZIP, 1, 12), (LZ4, 1, 12)])
def test_records_have_the_offsets_that_the_broker_gave_them(codec, magic, offset) -> None:
    """The first format that nests records in a compressed one has the offset of the last at the outside."""
    assert [record.offset for record in records(at(offset, written([b"a", b"b", b"c"], codec, magic)))] == [10, 11, 12]


def test_a_topic_may_have_the_times_at_which_its_broker_wrote() -> None:
    data = at(0, written([b"a", b"b"]), attributes=DefaultRecordBatch.TIMESTAMP_TYPE_MASK, max_timestamp=77)
    assert [record.timestamp for record in records(data)] == [77, 77]


def test_an_emptied_batch_has_no_records_and_the_next_one_comes() -> None:
    emptied = at(3, written([b"a"])[: HEADER.size], length=HEADER.size - 12, count=0)
    assert [record.offset for record in records(emptied + at(4, written([b"b"])))] == [4]


@pytest.mark.parametrize(("codec", "pack"), [(GZIP, gzip_encode), (ZSTD, zstd_encode)])
def test_packed_data_may_be_of_several_frames(codec, pack) -> None:
    assert unpack(codec, pack(b"1" * 500) + pack(b"2" * 500), 1000) == b"1" * 500 + b"2" * 500
    with pytest.raises(TooLarge):
        unpack(codec, pack(b"1" * 500) + pack(b"2" * 500), 999)


def test_a_header_name_that_is_not_utf_8_comes_and_is_written_back_as_the_same_bytes() -> None:
    data = written([b"v"], headers=[(HeaderName(NAME), b"1"), ("schön", b"2")])
    assert NOT_UTF_8 in data
    (record,) = records(data)
    assert record.headers == [(NAME, b"1"), ("schön", b"2")]
    assert written([b"v"], headers=record.headers) == data


def test_the_client_itself_refuses_such_a_name() -> None:
    batch = MemoryRecords(written([b"v"], headers=[(HeaderName(NAME), b"1")])).next_batch()
    with pytest.raises(CorruptRecordError):  # if it comes, half of the guard against trap 12 may go
        list(batch)


@pytest.mark.parametrize(("codec", "magic"), PACKED)
def test_a_batch_is_unpacked_to_the_limit_and_no_further(codec, magic, monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "MAX_BATCH_BYTES", 100_000)
    (record,) = records(written([bytes(99_000)], codec, magic))
    assert len(record.value) == 99_000
    with pytest.raises(TooLarge):
        records(written([bytes(101_000)], codec, magic))


@pytest.mark.parametrize("codec", CODECS)
def test_no_more_than_the_limit_is_ever_in_memory(codec, monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "MAX_BATCH_BYTES", limit := 4 * MIB)
    (packed,) = batches_of(written([bytes(32 * MIB)], codec))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        list(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * limit  # what is unpacked, twice while it is joined, and the packed bytes


@pytest.mark.parametrize("codec", [0, ZSTD])
def test_headers_without_content_count_as_the_memory_that_they_take(codec, monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "MAX_BATCH_BYTES", MIB)
    (batch,) = batches_of(written([b""], codec, headers=[("", None)] * 9_000))
    assert len(next(iter(batch)).headers) == 9_000
    assert batch.unpacked_bytes > 900_000
    with pytest.raises(TooLarge, match="20000 headers"):
        records(written([b""] * 2, codec, headers=[("", None)] * 10_000))


@pytest.mark.parametrize("length", [-12, 13, 1000])
def test_a_nested_record_of_an_impossible_length_is_an_error(length) -> None:
    """kafka-python itself reads the record with -12 for ever."""
    nested = bytearray(written([b"a"], magic=0))
    struct.pack_into(">i", nested, 8, length)
    data = nesting(gzip_encode(bytes(nested)))
    with pytest.raises(CorruptRecordError, match=f"a record of {length} bytes"):
        records(data)


def test_nested_records_count_as_the_memory_that_they_take(monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "MAX_BATCH_BYTES", 10_000)
    with pytest.raises(TooLarge):
        records(written([b""] * 100, GZIP, magic=1))


def test_a_snappy_block_is_believed_no_size_that_it_claims() -> None:
    claim = b"\xff\xff\xff\xff\x0f"  # 4 GiB
    with pytest.raises(TooLarge, match="4294967295"):
        unpack(SNAPPY, claim + b"\x00", 1000)
    assert unpack(SNAPPY, snappy.compress(b"x" * 1000), 1000) == b"x" * 1000  # without Java's framing
    framed = b"\x82SNAPPY\x00" + bytes(8)
    for length in (-1, 0, 5):
        with pytest.raises(ValueError, match="snappy block"):
            unpack(SNAPPY, framed + length.to_bytes(4, "big", signed=True) + b"1234", 1000)


def test_a_batch_of_more_records_than_fit_into_memory_is_not_unpacked(monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "MAX_BATCH_BYTES", 10_000)
    with pytest.raises(TooLarge, match="101 records"):
        records(written([b""] * 101, ZSTD))


@pytest.mark.parametrize(
    ("batches", "broken", "expected"),
    [
        ([5, 9], {}, 6),  # its header is as written
        ([5, 9], {"last_offset_delta": 90}, 9),  # more than the next batch allows
        ([5, 90], {"last_offset_delta": 3}, 9),  # the next batch is further, after others were deleted
        ([5], {"last_offset_delta": 90}, 6),  # nothing confirms it
        ([5, 2], {}, 6),
    ],
)
def test_nothing_is_skipped_that_a_broken_header_alone_says(batches, broken, expected) -> None:
    first, *others = (at(offset, written([b"v"])) for offset in batches)
    data = bytearray(at(5, first, **broken))
    data[-1] ^= 1
    found = batches_of(bytes(data) + b"".join(others))
    assert not found.next_batch().validate_crc()
    assert found.offset_behind(5) == expected


def test_a_slice_that_is_no_batch_says_nothing_about_where_it_ends() -> None:
    found = batches_of(struct.pack(">qi", 1_000_000, 1) + b"x" + at(6, written([b"v"])))
    with pytest.raises(CorruptRecordError):
        found.next_batch()
    assert found.offset_behind(5) == 6


def test_the_last_batch_that_is_too_large_is_skipped_whole(monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "MAX_BATCH_BYTES", 1_000)
    found = batches_of(at(5, written([bytes(900), bytes(900)], ZSTD)))
    with pytest.raises(TooLarge):
        list(found.next_batch())
    assert found.offset_behind(5) == 7


def test_a_truncated_batch_and_an_unknown_compression_are_errors() -> None:
    data = written([b"compressible" * 1000], LZ4)
    with pytest.raises(Exception, match="truncated"):
        unpack(LZ4, data[61:-20], 1_000_000)
    with pytest.raises(UnsupportedCodecError, match="7"):
        unpack(7, data, 1000)


@pytest.mark.parametrize("place", range(61, 61 + 11))
def test_a_record_of_impossible_lengths_is_an_error(place) -> None:
    """Each byte of the record changed: no record comes in part, and none takes bytes of the next one."""
    data = bytearray(written([b"123", b"456"]))
    data[place] ^= 0x41
    try:
        values = [record.value for record in records(bytes(data))]
    except CorruptRecordError:
        return
    assert [len(value) for value in values] == [3, 3]


def test_a_fetch_ends_behind_the_batch_with_which_enough_was_unpacked(monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "_FETCH_BYTES", 10_000)
    batches = batches_of(written([bytes(6_000)], ZSTD) * 4)
    assert [len(record.value) for batch in iter(batches.next_batch, None) for record in batch] == [6_000, 6_000]


def test_the_fetches_of_a_poll_end_with_the_batch_with_which_they_have_unpacked_enough(monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "_POLL_BYTES", 10_000)
    fetch, budget = written([bytes(6_000)], ZSTD) * 2, Budget()

    def found() -> int:
        return len([record for batch in iter(Batches(fetch, budget).next_batch, None) for record in batch])

    assert [found(), found(), found()] == [2, 0, 0]
    budget.renew()
    assert found() == 2


def test_a_batch_that_is_not_read_counts_as_it_is_packed(monkeypatch) -> None:
    """It is of a transaction that was aborted, and must not keep other partitions from their turn."""
    monkeypatch.setattr(record_batches, "_POLL_BYTES", 10_000)
    assert len([*iter(batches_of(written([b""] * 200, ZSTD) * 20).next_batch, None)]) == 20
