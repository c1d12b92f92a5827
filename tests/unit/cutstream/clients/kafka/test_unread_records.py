"""Batches with the right checksum that a sender made unreadable: each record fails by itself, and none stops a worker.

The broker takes them: it looks at the lengths of the records in a batch, and at nothing that they hold.
"""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import CompletedFetch
from kafka.record import MemoryRecordsBuilder
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import calc_crc32c

from cutstream.clients.kafka import fetching, record_batches, unread_records
from cutstream.clients.kafka.connection import to_record
from cutstream.clients.kafka.record_batches import Batches, Budget
from cutstream.clients.kafka.records import Unread
from cutstream.clients.kafka.unread_records import AnswerableBatches
from tests.support import simulated_consumer
from tests.unit.cutstream.clients.kafka.test_fetching import A, B, make

MIB = 1024 * 1024
CODECS = [1, 2, 3, 4]
HEADER, CRC = DefaultRecordBatch.HEADER_STRUCT, DefaultRecordBatch.CRC_OFFSET


def batch(values, codec=0, base=0, headers=()) -> bytes:
    builder = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=1 << 30)
    for value in values:
        builder.append(timestamp=5, key=b"k", value=value, headers=list(headers))
    builder.close()
    return struct.pack(">q", base) + bytes(builder.buffer())[8:]


def signed(data: bytes | bytearray) -> bytes:
    """Give a batch the checksum of its bytes, as its sender does."""
    data = bytearray(data)
    struct.pack_into(">i", data, 8, len(data) - 12)
    struct.pack_into(">I", data, CRC, calc_crc32c(data[DefaultRecordBatch.ATTRIBUTES_OFFSET :]))
    return bytes(data)


def read(data: bytes) -> list:
    return [record for batch in iter(AnswerableBatches(data, Budget()).next_batch, None) for record in batch]


def unread(data: bytes) -> list[tuple[int, str]]:
    return [(record.offset, record.value.cause) for record in read(data) if isinstance(record.value, Unread)]


@pytest.fixture
def small(monkeypatch) -> None:
    for module in (record_batches, unread_records):
        monkeypatch.setattr(module, "MAX_BATCH_BYTES", 100_000)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("codec", CODECS)
def test_records_before_and_behind_a_bomb_are_read_as_far_as_the_limit_allows(codec) -> None:
    bomb = batch([b"before", bytes(200_000), b"behind"], codec, base=7)
    found = read(bomb + batch([b"next batch"], base=10))
    assert [record.offset for record in found] == [7, 8, 9, 10]
    assert (found[0].value, found[-1].value) == (b"before", b"next batch")
    assert [offset for offset, _ in unread(bomb)] == [8, 9]
    assert all("more than" in cause for _, cause in unread(bomb))


@pytest.mark.parametrize("codec", CODECS)
def test_data_that_their_compression_cannot_have_written_fail_record_by_record(codec) -> None:
    data = bytearray(batch([b"1" * 100, b"2" * 100], codec, base=3))
    data[HEADER.size :] = b"\x00not compressed at all"
    assert [offset for offset, _ in unread(signed(data))] == [3, 4]


def test_a_wrong_length_within_a_record_fails_it_and_those_behind_it() -> None:
    data = bytearray(batch([b"first", b"other"], base=3))
    data[data.index(b"other") - 1] = 2 * 90  # the length of the value, as a varint of zigzag
    found = read(signed(data) + batch([b"next"], base=5))
    assert [(record.offset, bytes(record.value)) for record in found] == [(3, b"first"), (4, b""), (5, b"next")]


def test_bytes_behind_the_last_record_harm_none() -> None:
    found = read(signed(batch([b"first"]) + b"more") + batch([b"next"], base=1))
    assert [record.value for record in found] == [b"first", b"next"]


@pytest.mark.usefixtures("small")
def test_one_answer_stands_for_a_batch_of_more_records_than_a_worker_reads() -> None:
    many = batch([b""] * 1_001, 4, base=50)
    ((offset, cause),) = unread(many)
    assert (offset, "1001 records" in cause) == (1_050, True)
    assert len(read(batch([b""] * 900, 4))) == 900


@pytest.mark.usefixtures("small")
def test_headers_by_the_hundred_thousand_fail_alone() -> None:
    found = unread(batch([b"v", b"v"], 4, headers=[("", None)] * 600))
    assert [offset for offset, _ in found] == [1]


def test_a_library_that_fails_for_want_of_memory_blames_no_sender(monkeypatch) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(record_batches, "unpack", fail)
    with pytest.raises(MemoryError):
        read(batch([bytes(1000)], 4))


@pytest.mark.parametrize("codec", CODECS)
def test_no_more_than_the_limit_is_in_memory(codec, monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "MAX_BATCH_BYTES", limit := 2 * MIB)
    packed = batch([bytes(32 * MIB)], codec)
    tracemalloc.start()
    assert len(unread(packed)) == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * limit


def test_a_time_beyond_all_numbers_begins_again_as_it_does_in_the_broker() -> None:
    data = bytearray(batch([b"first", b"other"]))
    fields = list(HEADER.unpack_from(data))
    fields[7] = (1 << 63) - 1  # the first time, to which each record adds its own
    HEADER.pack_into(data, 0, *fields)
    data[HEADER.size + 2] = 2  # 1 ms, as a varint of zigzag
    assert [record.timestamp for record in read(signed(data))] == [-(1 << 63), (1 << 63) - 1]


# -- through the client's own fetcher


def test_a_partition_goes_on_behind_a_batch_of_its_sender(monkeypatch) -> None:
    """It stopped until an operator deleted the records: eight of a kilobyte each stopped all partitions."""
    for module in (record_batches, unread_records):
        monkeypatch.setattr(module, "MAX_BATCH_BYTES", 100_000)
    fetcher = make(fetching.CarefulFetcher, isolation_level="read_committed")
    fetched(fetcher, A, batch([b"a"]) + batch([bytes(200_000)], 4, base=1) + batch([b"c"], base=2))
    fetched(fetcher, B, batch([b"b"]))
    records, _ = fetcher.fetch_records(10_000)
    assert [(r.offset, r.value, bool(r.unread)) for r in map(to_record, records[A])] == [
        (0, b"a", False),
        (1, b"", True),
        (2, b"c", False),
    ]
    assert len(records[B]) == 1
    assert fetcher.take_unreadable() == []
    assert fetcher._subscriptions.position(A).offset == 3


def test_a_wrong_checksum_still_stops_its_partition() -> None:
    data = bytearray(batch([b"a"], 4))
    data[-1] ^= 1
    fetcher = make(fetching.CarefulFetcher)
    fetched(fetcher, A, bytes(data))
    assert fetcher.fetch_records(10_000)[0] == {}
    assert len(fetcher.take_unreadable()) == 1


def test_what_is_behind_very_many_records_is_fetched_again(monkeypatch) -> None:
    monkeypatch.setattr(fetching, "_FETCH_RECORDS", 3)
    fetcher = make(fetching.CarefulFetcher)
    found = []
    while (start := fetcher._subscriptions.position(A).offset) < 8:
        fetched(fetcher, A, batch([b""] * 8, 4), start)
        records, _ = fetcher.fetch_records(10_000)
        found.append([record.offset for record in records[A]])
    assert found == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_the_plain_batches_raise() -> None:
    data = bytearray(batch([b"1" * 100], 4))
    data[HEADER.size :] = b"\x00"
    (read_plain,) = iter(Batches(signed(data), Budget()).next_batch, None)
    with pytest.raises(ValueError, match="Zstd"):
        list(read_plain)


def fetched(fetcher, tp: TopicPartition, data: bytes, start: int = 0) -> None:
    answer = simulated_consumer.fetched([], end=100)
    answer.records = data
    fetcher._completed_fetches.append(CompletedFetch(tp, start, 12, answer, None))
