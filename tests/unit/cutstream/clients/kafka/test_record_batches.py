from __future__ import annotations

import tracemalloc

import pytest
import snappy
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from cutstream.clients.kafka import record_batches
from cutstream.clients.kafka.compression import TooLarge, unpack
from cutstream.clients.kafka.record_batches import MAX_BATCH_BYTES, Batches, HeaderName

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
CODECS = [GZIP, SNAPPY, LZ4, ZSTD]
PACKED = [(codec, 2) for codec in CODECS] + [(codec, 1) for codec in (GZIP, SNAPPY, LZ4)]
"""Each compression with the version of the format, which had no zstd at first."""
NOT_UTF_8 = b"caf\xe9 \xff"
NAME = NOT_UTF_8.decode(errors="surrogateescape")


def written(values, codec=0, magic=2, headers=()) -> bytes:
    builder = MemoryRecordsBuilder(magic=magic, compression_type=codec, batch_size=1 << 30)
    for value in values:
        builder.append(timestamp=5, key=b"k", value=value, headers=list(headers))
    builder.close()
    return bytes(builder.buffer())


def records(data: bytes) -> list:
    return [record for batch in Batches(data) for record in batch]


@pytest.mark.parametrize(("codec", "magic"), [(0, 1), (0, 2), *PACKED])
def test_every_record_comes_as_it_was_written(codec, magic) -> None:
    headers = [("h", b"1"), ("none", None)] if magic == 2 else []
    values = [b"compressible" * 100, b"", b"x"]
    found = records(written(values, codec, magic, headers))
    assert [record.value for record in found] == values
    assert all((record.key, record.timestamp, record.headers) == (b"k", 5, headers) for record in found)


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
def test_no_more_than_the_limit_is_ever_in_memory(codec) -> None:

    (packed,) = Batches(written([bytes(64 * 1024 * 1024)], codec))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        list(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_BATCH_BYTES  # what is unpacked, twice while it is joined, and the packed bytes


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
    batches = Batches(written([bytes(6_000)], ZSTD) * 4)
    assert [len(record.value) for batch in iter(batches.next_batch, None) for record in batch] == [6_000, 6_000]
