"""What the reader's fetcher does with fetches that kafka-python's own would lose, or loop on for ever."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import CompletedFetch, Fetcher
from kafka.consumer.subscription_state import SubscriptionState
from kafka.errors import (
    CorruptRecordError,
    InvalidRecordError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
    UnknownError,
)
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

from cutstream.clients.kafka import Partition, record_batches
from cutstream.clients.kafka.fetching import CarefulFetcher, Unreadable
from tests.support.simulated_consumer import fetched

A, B = (TopicPartition("requests", number) for number in range(2))


@pytest.fixture
def fetcher() -> CarefulFetcher:
    return make(CarefulFetcher)


def make(kind: type[Fetcher], **options) -> Fetcher:
    subscriptions = SubscriptionState("earliest")
    subscriptions.assign_from_user([A, B])
    for tp in (A, B):
        subscriptions.seek(tp, 0)
    fetcher = kind(SimpleNamespace(_manager=SimpleNamespace(_net=None)), subscriptions, **options)
    fetcher.send_fetches = lambda: None
    return fetcher


def complete(
    fetcher: Fetcher, tp: TopicPartition, count: int, corrupt: int = -1, fetched_from: int = 0, **changes
) -> None:
    """Let a fetch come with so many records."""
    data = fetched([(offset, offset == corrupt) for offset in range(fetched_from, count)], count)
    vars(data).update(changes)
    fetcher._completed_fetches.append(CompletedFetch(tp, fetched_from, 12, data, None))


def offsets(fetcher: Fetcher) -> dict[TopicPartition, list[int]]:
    records, _ = fetcher.fetch_records(10_000)
    return {tp: [record.offset for record in batch] for tp, batch in records.items()}


def test_all_records_before_a_corrupt_one_come_and_all_of_other_partitions(fetcher) -> None:
    """kafka-python's own fetcher never returns from the second call."""
    complete(fetcher, A, 300, corrupt=250)
    complete(fetcher, B, 3)
    assert offsets(fetcher) == {A: [*range(250)], B: [0, 1, 2]}
    (found,) = fetcher.take_unreadable()
    assert (found.partition, found.offset, found.next_offset) == (Partition("requests", 0), 250, 251)
    assert "failed crc check" in found.cause
    assert offsets(fetcher) == {}
    assert fetcher.take_unreadable() == []
    assert fetcher._subscriptions.paused_partitions() == {A}
    assert fetcher._subscriptions.position(A).offset == 250


def test_a_partition_is_read_on_when_its_records_are_whole_again(fetcher) -> None:
    complete(fetcher, A, 3, corrupt=0)
    assert offsets(fetcher) == {}
    fetcher._subscriptions.resume(A)
    complete(fetcher, A, 3)
    assert offsets(fetcher) == {A: [0, 1, 2]}


@pytest.mark.parametrize(
    "changes",
    [
        {"error_code": CorruptRecordError.errno},
        {"error_code": InvalidRecordError.errno},
        {"error_code": UnknownError.errno},
        {"records": fetched([(0, False)], 1).records[:-1]},
    ],
    ids=["the broker says so", "the broker finds it invalid", "the broker failed", "the batch is not whole"],
)
def test_a_fetch_of_which_nothing_can_be_read_sets_its_partition_aside(fetcher, changes) -> None:
    complete(fetcher, A, 3, **changes)
    complete(fetcher, B, 3)
    assert offsets(fetcher) == {B: [0, 1, 2]}
    (found,) = fetcher.take_unreadable()
    assert (found.partition, found.offset) == (Partition("requests", 0), 0)


def test_the_end_is_unknown_while_the_broker_cannot_read_its_log(fetcher) -> None:
    """The end of the fetch before says that there is no such record, and the reader would try it without a pause."""
    complete(fetcher, A, 3)
    offsets(fetcher)
    assert fetcher._subscriptions.assignment[A].highwater == 3
    complete(fetcher, A, 3, fetched_from=3, error_code=CorruptRecordError.errno)
    offsets(fetcher)
    assert len(fetcher.take_unreadable()) == 1
    assert fetcher._subscriptions.assignment[A].highwater is None


@pytest.mark.parametrize(("kind", "expected"), [(0, [3]), (1, [0, 1, 3])], ids=["aborted", "committed"])
def test_records_come_by_what_the_marker_of_their_transaction_says(kind, expected) -> None:
    fetcher = make(CarefulFetcher, isolation_level="read_committed")
    marker = transactional(2, 0x30, struct.pack(">hh", 0, kind))
    data = transactional(0, 0x10) + transactional(1, 0x10) + marker + transactional(3, 0x10)
    aborted = [SimpleNamespace(producer_id=7, first_offset=0)] if kind == 0 else None
    complete(fetcher, A, 4, records=data, aborted_transactions=aborted)
    assert offsets(fetcher) == {A: expected}


def transactional(offset: int, attributes: int, key: bytes = b"k") -> bytes:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=7, producer_epoch=0, base_sequence=0, batch_size=1000
    )
    builder.append(0, 0, key, b"", [])
    batch = bytearray(struct.pack(">q", offset) + bytes(builder.build())[8:])
    batch[DefaultRecordBatch.ATTRIBUTES_OFFSET : DefaultRecordBatch.ATTRIBUTES_OFFSET + 2] = struct.pack(
        ">h", attributes
    )
    return with_checksum(batch)


def with_checksum(batch: bytearray) -> bytes:
    crc = calc_crc32c(batch[DefaultRecordBatch.ATTRIBUTES_OFFSET :])
    batch[DefaultRecordBatch.CRC_OFFSET : DefaultRecordBatch.ATTRIBUTES_OFFSET] = struct.pack(">I", crc)
    return bytes(batch)


def test_errors_that_are_not_the_records_are_raised(fetcher) -> None:
    complete(fetcher, A, 3, error_code=TopicAuthorizationFailedError.errno)
    with pytest.raises(TopicAuthorizationFailedError):
        offsets(fetcher)
    assert fetcher.take_unreadable() == []


def refuse() -> None:
    raise KafkaConnectionError("the request cannot be sent")


def test_records_come_again_when_the_next_request_cannot_be_sent(fetcher) -> None:
    complete(fetcher, A, 3)
    send, fetcher.send_fetches = fetcher.send_fetches, refuse
    with pytest.raises(KafkaConnectionError):
        offsets(fetcher)
    fetcher.send_fetches = send
    complete(fetcher, A, 3)
    assert offsets(fetcher) == {A: [0, 1, 2]}


def test_a_partition_for_which_a_poll_has_no_memory_is_fetched_again_and_first(fetcher, monkeypatch) -> None:
    monkeypatch.setattr(record_batches, "_POLL_BYTES", 100)
    complete(fetcher, A, 2)
    complete(fetcher, B, 3)
    assert offsets(fetcher) == {A: [0]}
    assert fetcher._subscriptions.position(B).offset == 0
    assert fetcher._fetchable_partitions() == [B, A]
    for expected in range(3):
        complete(fetcher, B, 3, fetched_from=expected)
        assert offsets(fetcher) == {B: [expected]}
    assert fetcher.take_unreadable() == []


@pytest.mark.parametrize("position", [0, 2])
def test_a_position_that_went_back_meanwhile_stays(fetcher, position) -> None:
    fetcher._subscriptions.seek(A, 2)

    def reset_and_refuse() -> None:
        fetcher._subscriptions.seek(A, position)
        refuse()

    fetcher.send_fetches = reset_and_refuse
    with pytest.raises(KafkaConnectionError):
        offsets(fetcher)
    assert fetcher._subscriptions.position(A).offset == position


def test_what_was_unreadable_behind_records_that_come_again_is_found_again(fetcher) -> None:
    complete(fetcher, A, 3, corrupt=2)
    send, fetcher.send_fetches = fetcher.send_fetches, refuse
    with pytest.raises(KafkaConnectionError):
        offsets(fetcher)
    assert fetcher.take_unreadable() == []
    fetcher.send_fetches = send
    complete(fetcher, A, 3, corrupt=2)
    assert offsets(fetcher) == {A: [0, 1]}
    (found,) = fetcher.take_unreadable()
    assert found.offset == 2


def test_a_marker_that_the_log_cleaner_has_emptied_is_passed() -> None:
    fetcher = make(CarefulFetcher, isolation_level="read_committed")
    complete(fetcher, A, 1, records=emptied_marker(0) + fetched([(1, False)], 2).records)
    assert offsets(fetcher) == {A: [1]}
    complete(fetcher, B, 1, records=emptied_marker(0))
    assert offsets(fetcher) == {}
    assert fetcher.take_unreadable() == []
    assert fetcher._subscriptions.position(B).offset == 1


def emptied_marker(offset: int) -> bytes:
    """Return what remains of a transaction's marker: a header that counts no records."""
    header = DefaultRecordBatch.HEADER_STRUCT
    return with_checksum(bytearray(header.pack(offset, header.size - 12, 0, 2, 0, 0x30, 0, 0, 0, 1, 0, -1, 0)))


def test_the_client_itself_loses_them() -> None:
    """This is the reason for the guard against trap 13, which may go if this fails."""
    fetcher = make(Fetcher)
    fetcher.send_fetches = refuse
    complete(fetcher, A, 3)
    with pytest.raises(KafkaConnectionError):
        offsets(fetcher)
    assert fetcher._subscriptions.position(A).offset == 3


@pytest.mark.parametrize(("next_offset", "which"), [(6, "offset 5"), (9, "offsets 5 to 8")])
def test_what_is_unreadable_is_named(next_offset, which) -> None:
    assert (
        str(Unreadable(Partition("requests", 0), 5, next_offset, "why"))
        == f"requests-0 cannot be read at {which} (why)"
    )
